"""Items change hands from the command line, in an act of two sides."""

from pathlib import Path

import pytest

from tests.e2e.conftest import Evidence

OFFER = (
    *("--to", "lab", "--to-person", "Dr. B", "--person", "Insp. A", "--purpose", "DNA analysis"),
    *("--reference", "Kt 1/26", "--mode", "digital"),
)


def exhibit(evidence: Evidence, seal: str) -> str:
    found: str = evidence(
        "exhibit", "register", "--case", evidence.case, "--seal", seal, "--container", "bag",
        "--condition", "good", "--method", "seized", "--collected-by", "A", "--collected-at", "unknown",
    ).records[0]["ern"]  # fmt: skip
    return found


@pytest.fixture
def items(evidence: Evidence, folder: Path) -> tuple[str, str]:
    """A note and a knife, and a laboratory that they can go to."""
    evidence("authority", "add", "Forensic Laboratory", "--id", "lab")
    note: str = evidence.ingest(folder / "note.txt").lines[0]["ern"]
    return note, exhibit(evidence, "A-1")


@pytest.fixture
def offered(evidence: Evidence, items: tuple[str, str]) -> str:
    found: str = evidence("transfer", "offer", *items, *OFFER, "--valid-until", "2999Z").records[0][
        "transfer"
    ]
    return found


def at_lab(
    evidence: Evidence, verb: str, transfer: str, *more: str, code: int = 0
) -> dict[str, object]:
    ran = evidence("transfer", verb, transfer, "--person", "Dr. B", "--as", "lab", *more, code=code)
    return {} if code else ran.records[0]


@pytest.fixture
def released(evidence: Evidence, offered: str) -> str:
    at_lab(evidence, "accept", offered)
    evidence(
        "transfer", "release", offered, "--carrier", "Courier C", "--seal", "P-1", "--packages", "1"
    )
    return offered


def custodians(evidence: Evidence, transfer: str) -> list[tuple[str, str]]:
    status = evidence("transfer", "status", transfer).records[0]
    return [(each["last"], each["custodian"]) for each in status["items"]]


POLICE = "district-state-prosecutor-s-office"


def test_custody_passes_at_the_receipt(evidence: Evidence, released: str) -> None:
    assert custodians(evidence, released) == [("released", POLICE)] * 2
    received = at_lab(evidence, "receive", released, "--rest", "ok")
    assert custodians(evidence, released) == [("received", "lab")] * 2
    receipts = received["receipts"]
    assert isinstance(receipts, list)
    assert [each["receipt"] for each in receipts] == ["sealed", "sealed"]


def test_both_sides_are_in_the_items_timeline(
    evidence: Evidence, items: tuple[str, str], released: str
) -> None:
    at_lab(evidence, "receive", released, "--rest", "ok")
    shown = evidence("custody", items[0]).records[0]
    assert [(row["act"], row["by"]) for row in shown["timeline"]] == [
        ("registered", POLICE),
        ("offered", POLICE),
        ("accepted", "lab"),
        ("released", POLICE),
        ("received", "lab"),
    ]
    assert shown["custodian"] == "lab"
    assert shown["ledger_problems"] == []
    offers = {row["data"].get("offer") for row in shown["timeline"]} - {None}
    assert len(offers) == 1  # both signed the same list


def test_only_the_receiver_accepts_and_only_the_sender_releases(
    evidence: Evidence, offered: str
) -> None:
    evidence("transfer", "accept", offered, "--person", "A", code=2)
    evidence("transfer", "release", offered, "--carrier", "C", code=2)
    at_lab(evidence, "accept", offered)
    evidence("transfer", "release", offered, "--carrier", "C", "--as", "lab", code=2)
    evidence("transfer", "release", offered, "--carrier", "", code=2)
    at_lab(evidence, "receive", offered, "--rest", "ok", code=2)


def test_a_receipt_names_no_other_item(
    evidence: Evidence, items: tuple[str, str], released: str
) -> None:
    line = ("--line", f"{items[1]}=ok:fine")
    at_lab(evidence, "receive", released, *line, "--line", "SI-2026-000099=ok", code=2)
    assert custodians(evidence, released) == [("released", POLICE)] * 2
    at_lab(evidence, "receive", released, *line, "--extra", "an umbrella")
    shown = evidence("custody", items[1]).records[0]
    assert shown["timeline"][-1]["disclosed"]["extras"] == ["an umbrella"]


def test_an_item_without_a_line_is_not_received_silently(
    evidence: Evidence, items: tuple[str, str], released: str
) -> None:
    at_lab(evidence, "receive", released, code=2)  # the knife has no line
    assert custodians(evidence, released) == [("released", POLICE)] * 2
    assert items


def test_a_reservation_is_shown_for_ever(
    evidence: Evidence, items: tuple[str, str], released: str
) -> None:
    at_lab(evidence, "receive", released, "--line", f"{items[1]}=seal_broken:torn at the side")
    shown = evidence("custody", items[1]).records[0]
    assert shown["custodian"] == "lab"
    assert [gap["kind"] for gap in shown["gaps"]] == ["reservation"]


def test_what_is_missing_stays_with_the_sender_and_can_arrive_later(
    evidence: Evidence, items: tuple[str, str], released: str
) -> None:
    at_lab(evidence, "receive", released, "--line", f"{items[1]}=missing")
    assert custodians(evidence, released)[1] == ("received_with_reservations", POLICE)
    evidence("transfer", "declare", released, "overdue", "--note", "not arrived")
    at_lab(evidence, "receive", released, "--line", f"{items[1]}=ok")
    assert custodians(evidence, released)[1] == ("received", "lab")


def test_what_is_lost_is_declared_and_found(
    evidence: Evidence, items: tuple[str, str], released: str
) -> None:
    evidence("transfer", "declare", released, "lost", "--note", "the van was robbed")
    assert evidence("custody", items[1]).records[0]["state"] == "lost"
    evidence("transfer", "declare", released, "found", "--note", "in the river")
    assert evidence("custody", items[1]).records[0]["state"] == "returned"


def test_other_bytes_on_arrival_are_a_mismatch_by_the_receivers_own_measurement(
    evidence: Evidence, items: tuple[str, str], released: str, tmp_path: Path
) -> None:
    other = tmp_path / "other.txt"
    other.write_text("not what was sent")
    at_lab(evidence, "receive", released, "--file", f"{items[0]}={other}", "--rest", "ok")
    shown = evidence("custody", items[0]).records[0]
    last = shown["timeline"][-1]
    assert last["data"]["condition"] == "digest_mismatch"
    assert (
        last["data"]["measured"][0]["sha256"]
        != shown["timeline"][0]["data"]["measured"][0]["sha256"]
    )


def test_what_is_rejected_goes_back(
    evidence: Evidence, items: tuple[str, str], released: str
) -> None:
    at_lab(evidence, "receive", released, "--line", f"{items[1]}=damaged", "--reject", items[1])
    assert custodians(evidence, released)[1] == ("rejected_on_arrival", POLICE)


def test_an_offer_is_refused_with_a_reason_or_withdrawn(
    evidence: Evidence, items: tuple[str, str], offered: str
) -> None:
    evidence("transfer", "refuse", offered, "--reason", "cannot_store_safely", "--as", "lab")
    again = evidence("transfer", "offer", *items, *OFFER, "--valid-until", "2999Z").records[0][
        "transfer"
    ]
    evidence("transfer", "withdraw", again)
    assert custodians(evidence, again) == [("offer_withdrawn", POLICE)] * 2
    assert [each["transfer"] for each in evidence("transfer", "list").records] == [offered, again]


def test_an_offer_for_yesterday_or_to_nobody_is_not_made(
    evidence: Evidence, items: tuple[str, str]
) -> None:
    evidence("transfer", "offer", *items, *OFFER, "--valid-until", "2020Z", code=2)
    to_nobody = tuple("nobody" if each == "lab" else each for each in OFFER)
    evidence("transfer", "offer", *items, *to_nobody, "--valid-until", "2999Z", code=2)
    evidence("transfer", "offer", f"{items[0]}/7", *OFFER, "--valid-until", "2999Z", code=2)
    assert evidence("transfer", "list").records == []


def test_a_loan_comes_back(evidence: Evidence, items: tuple[str, str]) -> None:
    lent = evidence(
        "transfer", "offer", items[1], *OFFER, "--valid-until", "2999Z", "--return-by", "2999Z"
    ).records[0]["transfer"]
    at_lab(evidence, "accept", lent)
    evidence("transfer", "release", lent, "--carrier", "C")
    at_lab(evidence, "receive", lent, "--rest", "ok")
    assert evidence("custody", items[1]).records[0]["state"] == "loaned"
    back = evidence(
        "transfer", "offer", items[1], "--to", POLICE, "--to-person", "A", "--person", "Dr. B", "--purpose",
        "return", "--reference", "Kt 1/26", "--valid-until", "2999Z", "--as", "lab",
    ).records[0]["transfer"]  # fmt: skip
    evidence("transfer", "accept", back, "--person", "A")
    evidence("transfer", "release", back, "--carrier", "C", "--as", "lab")
    evidence("transfer", "receive", back, "--person", "A", "--rest", "ok")
    shown = evidence("custody", items[1]).records[0]
    assert (shown["state"], shown["custodian"]) == ("returned", POLICE)


def test_acts_by_hand_follow_the_rules(evidence: Evidence, items: tuple[str, str]) -> None:
    knife = items[1]
    evidence("act", "checked_in", knife, "--person", "A", "--place", "store 4")
    evidence("act", "seal_checked", knife, "--person", "A", "--seal", "A-1", "--check", "intact")
    evidence("act", "hold_placed", knife, "--person", "A", "--hold", "order 5")
    evidence("void", knife, "--reason", "no", code=2)
    evidence("act", "seal_broken", knife, "--person", "A", "--seal", "A-1", "--purpose", "analysis")
    evidence("act", "resealed", knife, "--person", "A", "--seal", "B-1")
    evidence(
        "act", "correction_of", knife, "--person", "A", "--corrects", "3", "--note", "wrong number"
    )
    evidence("act", "sealed", knife, "--person", "A", "--seal", "C-1", "--as", "lab", code=2)
    evidence("act", "received", knife, "--person", "A", code=2)
    evidence("act", "sealed", knife, "--person", "A", code=2)
    evidence("act", "moved", knife, "--person", "A", "--occurred-at", "2999Z", code=2)
    shown = evidence("custody", knife).records[0]
    assert shown["seals"] == {"B-1": "intact"}
    assert shown["holds"] == {"order 5": POLICE}
    assert shown["gaps"] == []


@pytest.mark.parametrize("mode", ["hand", "courier", "diplomatic_bag"])
def test_of_what_was_carried_nothing_is_measured_without_the_bytes_that_arrived(
    evidence: Evidence, items: tuple[str, str], mode: str
) -> None:
    offer = tuple(mode if each == "digital" else each for each in OFFER)
    transfer = evidence("transfer", "offer", items[0], *offer, "--valid-until", "2999Z").records[0][
        "transfer"
    ]
    at_lab(evidence, "accept", transfer)
    evidence("transfer", "release", transfer, "--carrier", "C")
    at_lab(evidence, "receive", transfer, "--line", f"{items[0]}=ok", code=2)
    at_lab(evidence, "receive", transfer, "--rest", "ok")
    data = evidence("custody", items[0]).records[0]["timeline"][-1]["data"]
    assert data["condition"] == "not_verifiable"
    assert "measured" not in data


def test_a_receipt_says_which_bytes_were_measured(
    evidence: Evidence, items: tuple[str, str], folder: Path, released: str
) -> None:
    at_lab(evidence, "receive", released, "--rest", "ok")
    data = evidence("custody", items[0]).records[0]["timeline"][-1]["data"]
    assert data["measured_of"] == "shared_store"
    back = evidence(
        "transfer", "offer", items[0], "--to", POLICE, "--to-person", "A", "--person", "Dr. B", "--purpose",
        "return", "--reference", "Kt 1/26", "--valid-until", "2999Z", "--as", "lab",
    ).records[0]["transfer"]  # fmt: skip
    evidence("transfer", "accept", back, "--person", "A")
    evidence("transfer", "release", back, "--carrier", "C", "--as", "lab")
    file = f"{items[0]}={folder / 'note.txt'}"
    evidence("transfer", "receive", back, "--person", "A", "--file", file)
    data = evidence("custody", items[0]).records[0]["timeline"][-1]["data"]
    assert (data["condition"], data["measured_of"]) == ("ok", "arrived")


def test_what_was_only_accepted_is_not_lost_on_its_way(evidence: Evidence, offered: str) -> None:
    at_lab(evidence, "accept", offered)
    said = evidence("transfer", "declare", offered, "lost", "--note", "gone", code=2).err
    assert "lost_declared" in said
    assert custodians(evidence, offered) == [("accepted", POLICE)] * 2
