"""Records as both doors show them: the same names and values on the command line and over HTTP."""

from api.cli.output import Json
from api.spelling import rfc3339
from evidence_store.cooperation.kind import Kind
from evidence_store.cooperation.registry import OfficerEntry, document_of
from evidence_store.cooperation.request import CONTENTS, Request
from evidence_store.dossier import Dossier
from evidence_store.dossier_port import Access
from evidence_store.identifiers import DossierId
from evidence_store.registering import Recorded
from evidence_store.sharing.consent import Consent
from evidence_store.sharing.grant import Grant


def dossier_row(found: Dossier) -> dict[str, Json]:
    """A dossier in a list."""
    return {
        "id": str(found.id),
        "state": found.state,
        "from": found.owner.value,
        "to": None if found.counterpart is None else found.counterpart.value,
        "changed_at": rfc3339(found.changed_at),
    }


def request_row(dossier: DossierId, found: Request, missing: list[str]) -> dict[str, Json]:
    """A request."""
    return {
        "request": str(dossier),
        "kind": found.kind.id,
        "state": found.state,
        "track": found.track,
        "from": found.requesting.value,
        "to": found.requested.value,
        "document": dict(found.document),
        "missing": list(missing),
        "certificates": [
            {"form": each.form, "sha256": each.sha256, "document": each.document}
            for each in found.certificates
        ],
        "yields": list(found.yields),
        "formalities": list(found.formalities),
        "refusal": found.refusal,
        "postponed_until": found.until,
        "acts": list(found.acts),
    }


def kind_row(kind: Kind) -> dict[str, Json]:
    """A kind of assistance, whole."""
    return {
        "number": kind.number,
        "kind": kind.id,
        "title": kind.title,
        "summary": kind.summary,
        "instrument": kind.instrument,
        "provision": kind.provision,
        "requesting": kind.requesting.value,
        "requested": kind.requested.value,
        "executing": sorted(each.value for each in kind.executing),
        "may_be_oral": kind.may_be_oral,
        "yields": sorted(kind.yields),
        "contents": [
            {"name": name, "label": label, "required": required}
            for name, (label, required) in CONTENTS.items()
        ],
        "fields": [
            {
                "name": each.name,
                "label": each.label,
                "type": each.type.value,
                "required": each.required,
                "sensitive": each.sensitive,
                "choices": list(each.choices),
            }
            for each in kind.fields
        ],
        "documents": [
            {
                "name": each.name,
                "label": each.label,
                "side": each.side.value,
                "at": each.at,
                "required": each.required,
            }
            for each in kind.papers
        ],
        "states": sorted({kind.initial} | {each.to for each in kind.steps}),
        "initial": kind.initial,
        "final": sorted(kind.final),
        "steps": [
            {
                "name": each.name,
                "label": each.label,
                "from": sorted(each.sources),
                "to": each.to,
                "side": each.side.value,
                "needs": list(each.needs),
            }
            for each in kind.steps
        ],
        "certificates": [
            {
                "name": each.name,
                "label": each.label,
                "for": sorted(each.endings),
                "fields": list(each.fields),
                "items": each.items,
            }
            for each in kind.certificates
        ],
        "rules": [{"name": each.name, "text": each.text} for each in kind.rules],
    }


def grant_row(dossier: DossierId, found: Grant) -> dict[str, Json]:
    """A grant, with its terms."""
    return {
        "grant": str(dossier),
        "state": found.state,
        "terms": found.terms.digest,
        "document": found.terms.document.decode(),
        "refused": [{"item": each.ern, "reason": each.reason} for each in found.refused],
        "charges": sorted(found.charges),
        "assured": sorted(each.value for each in found.given),
        "onward_to": sorted(each.value for each in found.onward_to),
        "declaration": found.declaration,
        "report_due": found.report_due,
        "reason": found.reason,
    }


def consent_row(dossier: DossierId, found: Consent) -> dict[str, Json]:
    """A consent."""
    return {
        "consent": str(dossier),
        "subject": found.subject.value,
        "state": found.state,
        "asked_by": found.asked_by.value,
        "answers": found.answers.value,
        "grant": None if found.grant is None else str(found.grant),
        "to": None if found.to is None else found.to.value,
        "purposes": [each.value for each in found.purposes],
        "items": [str(each) for each in found.items],
        "reasons": found.reasons,
        "reply": found.reply,
    }


def access_row(found: Access) -> dict[str, Json]:
    """An access."""
    return {
        "access": str(found.id),
        "at": rfc3339(found.at),
        "officer": str(found.officer),
        "authority": found.authority.value,
        "item": str(found.ern),
        "version": found.version,
        "action": found.action,
        "purpose": found.purpose,
        "grant": None if found.grant is None else str(found.grant),
        "decision": found.decision,
        "rule": found.rule,
        "policy": found.policy,
        "copy": found.copy_id,
        "served_bytes": found.served_bytes,
        "served_sha256": found.served_sha256,
        "first_byte": found.first_byte,
        "continues": None if found.continues is None else str(found.continues),
        "ended": found.ended,
        "ended_at": None if found.ended_at is None else rfc3339(found.ended_at),
    }


def entry_row(found: Recorded) -> dict[str, Json]:
    """An entry of the registry; an officer without the name."""
    row: dict[str, Json] = {**document_of(found.entry)}
    row.pop("name") if isinstance(found.entry, OfficerEntry) else None
    return {**row, "change": str(found.change), "recorded_at": rfc3339(found.at)}
