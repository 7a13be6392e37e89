"""The words of authorities' requests: who asks, what for, by what instrument, and what a request says of itself.

Plain values; knows no rule and no table.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum


class Requester(StrEnum):
    """Who asks."""

    LAW_ENFORCEMENT = "law_enforcement"
    COURT = "court"
    CIVIL_PARTY = "civil_party"
    INDIVIDUAL = "individual"
    BUSINESS = "business"


class Matter(StrEnum):
    """What it is about."""

    CRIMINAL = "criminal"
    CIVIL = "civil"


class Ask(StrEnum):
    """What is asked for."""

    DISCLOSURE = "disclosure"
    EMERGENCY = "emergency"
    PRESERVATION = "preservation"
    EXTENSION = "extension"
    RESTRICTION = "restriction"


class Subject(StrEnum):
    """What kind of identifier it names: the categories under which disclosures are counted."""

    PRODUCT = "product"
    ACCOUNT = "account"
    TRANSACTION = "transaction"


class Data(StrEnum):
    """Classes of data, the least protected first."""

    SUBSCRIBER = "subscriber"
    RECORDS = "records"
    CONTENT = "content"


class Instrument(StrEnum):
    """By what legal instrument. `local_*` are those of other legal orders that stand for one; they are named."""

    NONE = "none"
    LETTER = "letter"
    SUBPOENA = "subpoena"
    SUMMONS = "summons"
    LOCAL_SUBPOENA = "local_subpoena"
    COURT_ORDER = "court_order"
    LOCAL_ORDER = "local_order"
    WARRANT = "warrant"
    LOCAL_WARRANT = "local_warrant"


class Route(StrEnum):
    """How a request came here from its country."""

    DIRECT = "direct"
    MLAT = "mlat"
    CLOUD_ACT = "cloud_act"
    LETTERS_ROGATORY = "letters_rogatory"


class Form(StrEnum):
    """What the process came as."""

    DOCUMENT = "document"
    PICTURE = "picture"
    ORAL = "oral"


@dataclass(frozen=True, slots=True)
class Request:
    """What a request says. One entry is one request on one legal basis; several items of one account are one.

    Days are UTC dates. Empty texts and None: it does not say. `certified`: the operator has made sure that the body is
    what it says. `subject` and `data` are what is asked for, `extends` and `revises` ids of earlier entries.
    """

    received: date
    requester: Requester
    ask: Ask
    jurisdiction: str
    matter: Matter = Matter.CRIMINAL
    certified: bool = False
    subject: Subject = Subject.ACCOUNT
    data: frozenset[Data] = frozenset()
    instrument: Instrument = Instrument.NONE
    instrument_name: str = ""
    legal_basis: str = ""
    route: Route = Route.DIRECT
    form: Form = Form.DOCUMENT
    signed: bool = False
    official_address: bool = False
    agency: str = ""
    agent: str = ""
    badge: str = ""
    email: str = ""
    telephone: str = ""
    postal_address: str = ""
    respond_by: date | None = None
    data_wanted: str = ""
    range_from: date | None = None
    range_to: date | None = None
    identifiers: int = 1
    confidential: bool = False
    confidential_until: date | None = None
    confidential_reason: str = ""
    notice_forbidden_by_law: bool = False
    life_at_risk: bool = False
    child_abuse: bool = False
    emergency_nature: str = ""
    emergency_need: str = ""
    restricted_in: str = ""
    extends: str = ""
    revises: str = ""
