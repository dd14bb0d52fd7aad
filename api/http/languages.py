"""Titles of problems in the languages of the parties: chosen by `Accept-Language`, English otherwise.

Titles only: the `detail` says what was expected and found, in English, and the code says all.
"""

from http import HTTPStatus

ENGLISH = "en"
LANGUAGES = (ENGLISH, "fr", "es", "ar", "uk")
# By stable code, in the order of LANGUAGES.
_TITLES = {
    "E000": (
        "Not foreseen", "Erreur imprévue", "Error imprevisto", "خطأ غير متوقع",
        "Непередбачена помилка",
    ),
    "E100": (
        "Not as it must be", "Demande mal formée", "Solicitud incorrecta", "الطلب غير صحيح",
        "Запит оформлено неправильно",
    ),
    "E130": (
        "Something is missing", "Éléments manquants", "Faltan elementos", "عناصر ناقصة",
        "Бракує відомостей",
    ),
    "E200": (
        "Other bytes than registered", "Octets différents de ceux enregistrés",
        "Bytes distintos de los registrados", "البيانات تختلف عن المسجلة",
        "Байти не ті, що були зареєстровані",
    ),
    "E220": (
        "Other than was listed", "Différent de ce qui était annoncé", "Distinto de lo anunciado",
        "يختلف عما أُعلن", "Не те, що було зазначено",
    ),
    "E240": (
        "A proof does not hold", "Preuve non valable", "La prueba no es válida", "الإثبات غير صالح",
        "Доказ недійсний",
    ),
    "E401": (
        "Sign in", "Authentification requise", "Se requiere autenticación", "يلزم تسجيل الدخول",
        "Потрібна автентифікація",
    ),
    "E403": ("Refused", "Refusé", "Denegado", "مرفوض", "Відмовлено"),
    "E404": ("Not there", "Introuvable", "No encontrado", "غير موجود", "Не знайдено"),
    "E405": (
        "Not by this method", "Méthode non autorisée", "Método no permitido",
        "الطريقة غير مسموح بها", "Метод не дозволено",
    ),
    "E408": (
        "The line was cut", "Connexion interrompue", "Conexión interrumpida", "انقطع الاتصال",
        "З’єднання перервано",
    ),
    "E409": ("Conflict", "Conflit", "Conflicto", "تعارض", "Конфлікт"),
    "E410": ("Over", "Terminé", "Ya no existe", "لم يعد موجودًا", "Більше не існує"),
    "E412": (
        "Changed meanwhile", "Modifié entre-temps", "Modificado entretanto", "تغيّر في هذه الأثناء",
        "Тим часом змінено",
    ),
    "E413": ("Too large", "Trop volumineux", "Demasiado grande", "كبير جدًا", "Завеликий обсяг"),
    "E414": (
        "The query is too long", "Requête trop longue", "Consulta demasiado larga",
        "الاستعلام طويل جدًا", "Запит задовгий",
    ),
    "E416": (
        "Outside of the content", "Hors du contenu", "Fuera del contenido", "خارج المحتوى",
        "Поза межами вмісту",
    ),
    "E422": (
        "The key belongs to another request", "La clé appartient à une autre requête",
        "La clave pertenece a otra solicitud", "المفتاح يخص طلبًا آخر", "Ключ належить іншому запиту",
    ),
    "E428": (
        "Say which version", "Précisez la version", "Indique la versión", "حدّد النسخة",
        "Зазначте версію",
    ),
    "E429": (
        "Too many requests", "Trop de requêtes", "Demasiadas solicitudes", "طلبات كثيرة جدًا",
        "Забагато запитів",
    ),
    "E430": (
        "Custody does not allow it", "La garde ne le permet pas", "La custodia no lo permite",
        "لا تسمح العهدة بذلك", "Порядок зберігання цього не дозволяє",
    ),
    "E431": (
        "Not now, or not by this side", "Pas maintenant, ou pas par cette partie",
        "Ahora no, o no por esta parte", "ليس الآن أو ليس من هذا الطرف",
        "Не зараз або не цією стороною",
    ),
    "E432": (
        "Too many headers", "Trop d’en-têtes", "Demasiadas cabeceras", "ترويسات كثيرة جدًا",
        "Забагато заголовків",
    ),
    "E460": (
        "The digest is another", "L’empreinte diffère", "El resumen es distinto",
        "البصمة مختلفة", "Інший дайджест",
    ),
    "E900": (
        "Try again later", "Réessayez plus tard", "Inténtelo más tarde", "حاول لاحقًا",
        "Спробуйте пізніше",
    ),
}  # fmt: skip
_SAME_AS = {"E500": "E900", "E250": "E900", "E910": "E900", "E920": "E900", "E930": "E900"}
CHECKSUM_MISMATCH = 460  # tus 1.0.0, not registered with HTTP
_HEADER_MAX = 400


def title(code: str, status: int, language: str) -> str:
    """The title of a code in a language; one that is not in the table has its status's phrase."""
    found = _TITLES.get(_SAME_AS.get(code, code))
    if found is None:
        return "Checksum Mismatch" if status == CHECKSUM_MISMATCH else HTTPStatus(status).phrase
    return found[LANGUAGES.index(language)]


def chosen(accept_language: str) -> str:
    """The language of the header (RFC 9110, section 12.5.4) that there is; English if none is."""
    wanted: list[tuple[float, str]] = []
    for part in accept_language[:_HEADER_MAX].split(","):
        name, _, parameter = part.strip().partition(";")
        weight = _weight(parameter.strip())
        language = name.strip().lower().partition("-")[0]
        if language in LANGUAGES and weight > 0:
            wanted.append((weight, language))
    best = max((weight for weight, _ in wanted), default=0.0)
    return next((language for weight, language in wanted if weight == best), ENGLISH)


def _weight(parameter: str) -> float:
    name, _, value = parameter.partition("=")
    if name.strip().lower() != "q":
        return 1.0
    try:
        found = float(value)
    except ValueError:
        return 0.0
    return found if 0 <= found <= 1 else 0.0
