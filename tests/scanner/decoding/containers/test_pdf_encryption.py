"""Documents that only forbid printing are opened, as every reader does; those with a password stay closed."""

from __future__ import annotations

import hashlib

import pytest

from scanner.decoding.containers.pdf_ciphers import aes_cbc_decrypted, aes_cbc_encrypted, rc4
from scanner.decoding.containers.pdf_encryption import Lock, unlocked
from scanner.decoding.containers.pdf_syntax import Reader
from scanner.types import WHOLE
from tests.scanner.decoding.containers.made import pdf, picture
from tests.scanner.decoding.looks import look

IDENTITY = bytes.fromhex("756df08199b688437c9191029278b352")
# The encryption dictionary and the stream "as it was", object 2, of documents that qpdf 12 encrypted.
GOLDEN = {
    "r2": (
        b"<< /Filter /Standard /Length 40 /O "
        b"<d8a81f2f756b03f0e776376607dc67c098531ac3e51f6e5cf0fc1473b1ce0975> /P -12 /R 2 /U "
        b"<19e31eaff9d08a2cab076c24355962d22965e6b1a510a7e20c73106e4642b21e> /V 1 >> "
        b"",
        "deea5d3e2361453eef",
    ),
    "r3": (
        b"<< /Filter /Standard /Length 128 /O "
        b"<77b8fb098022d3ab34237ea5643c08710ea5123fc5f88bf993a68cca5f12b40f> /P -1028 /R 3 /U "
        b"<f582df79684fa3081c908b4380533e910021446990b9e4114071a4d9104984c1> /V 2 >> "
        b"",
        "cc1e1628667a8b2f19",
    ),
    "r4": (
        b"<< /CF << /StdCF << /AuthEvent /DocOpen /CFM /AESV2 /Length 16 >> >> /Filter /Standard /Length "
        b"128 /O <77b8fb098022d3ab34237ea5643c08710ea5123fc5f88bf993a68cca5f12b40f> /P -1028 /R 4 /StmF "
        b"/StdCF /StrF /StdCF /U <f582df79684fa3081c908b4380533e910021446990b9e4114071a4d9104984c1> /V 4 "
        b">> "
        b"",
        "b0773cd8f88ac3ff6db98ca6edfff504d6eb41bb665e236a4b3384cb92d10c36",
    ),
    "r4nm": (
        b"<< /CF << /StdCF << /AuthEvent /DocOpen /CFM /AESV2 /Length 16 >> >> /EncryptMetadata false "
        b"/Filter /Standard /Length 128 /O "
        b"<77b8fb098022d3ab34237ea5643c08710ea5123fc5f88bf993a68cca5f12b40f> /P -1028 /R 4 /StmF /StdCF "
        b"/StrF /StdCF /U <adefe16f29ddef410b40fbf5d095aa710021446990b9e4114071a4d9104984c1> /V 4 >> "
        b"",
        "faa0892e96be467a00c82bc6c3108cd29649af3093886cdca5f3c6f93e89baee",
    ),
    "r5": (
        b"<< /CF << /StdCF << /AuthEvent /DocOpen /CFM /AESV3 /Length 32 >> >> /Filter /Standard /Length "
        b"256 /O <a4c7bd7842bfa74ae9d731c8ae0cd6a6d257a337219e1b30f688fb3c3a2f6a3129fb7869f3c9aa14bc674703 "
        b"de5f4395> /P -1028 /R 5 /StmF /StdCF /StrF /StdCF /U <39dc21032e3dbfe90a54106b78b8ad519b4346d7d6 "
        b"62214aaf15f664d13e9ca40b72433b2ee333494158369964d361bf> /UE "
        b"<2906c716eb29cf6a422579a762948efb2bef117b4e3e4b8392242a133c36b4d5> /V 5 >> "
        b"",
        "040b49ecd550b84d82218c4916456d910625bb7fcedac174a8bf45e99770c0fa",
    ),
    "r6": (
        b"<< /CF << /StdCF << /AuthEvent /DocOpen /CFM /AESV3 /Length 32 >> >> /Filter /Standard /Length "
        b"256 /O <3b7f1770f2f7fabc2ba49c9d1305930ad3bb04648535d9571e92d8e5002530fa3d15ad95a63025ad3b513e0b "
        b"6964418a> /P -1028 /R 6 /StmF /StdCF /StrF /StdCF /U <593c21ec89e9b807a1107a039f38ba6e272f6b704b "
        b"9c78bdf4e72711743b4afed9926f653c8e29722c02638b2bd33eb8> /UE "
        b"<479ca8479f69a8b98387027ca03de575e7cb229d7e2764a4376db9ebc560143b> /V 5 >> "
        b"",
        "e3d1f1455438f6ef17119fe0d3fff9b3fb22093d240a30ae89ce171fecde8866",
    ),
    "locked": (
        b"<< /CF << /StdCF << /AuthEvent /DocOpen /CFM /AESV3 /Length 32 >> >> /Filter /Standard /Length "
        b"256 /O <c4295752ab7156cc6656c884f88b67c4762aeed5783e8c2236863fa482b5635c5668b417a5b15b6272a30322 "
        b"ad5be73b> /P -1028 /R 6 /StmF /StdCF /StrF /StdCF /U <6756c328fad6fde9be3a66694c2275b6161ec1162d "
        b"84c176ffb41968c9daa6b49c98d59ac605e9acc5e6b705e3e7a254> /UE "
        b"<c0ba39131f9d893848d6c624989e6a08cf87f3a60ca5a564535d7606da699976> /V 5 >> "
        b"",
        "20591081dc12ebdfb0a16571467bbaf7d582145c7d21dbad454c10269aeea28b",
    ),
}


def lock_of(name: str) -> Lock | None:
    text, _ = GOLDEN[name]
    dictionary = Reader(text).value()
    assert isinstance(dictionary, dict)
    return unlocked(dictionary, IDENTITY, lambda value: value)


@pytest.mark.parametrize("name", [name for name in GOLDEN if name != "locked"])
def test_what_opens_without_a_password(name: str) -> None:
    """Each revision of the standard handler, RC4 and AES, gives back what another program encrypted."""
    lock = lock_of(name)

    assert lock is not None
    assert b"as it was" == lock.opened(bytes.fromhex(GOLDEN[name][1]), 2)


def test_what_needs_a_password() -> None:
    """A document that the empty password does not open stays closed; so does one of an unknown handler."""
    assert lock_of("locked") is None
    assert unlocked({b"Filter": b"Adobe.PubSec"}, IDENTITY, lambda value: value) is None
    assert unlocked({}, IDENTITY, lambda value: value) is None


def test_pictures_of_a_document_that_anyone_may_read() -> None:
    """They are found as if it were not encrypted."""
    lock = lock_of("r3")
    assert lock is not None
    image = b"/Subtype/Image/Width 128/Height 96/ColorSpace/DeviceRGB/BitsPerComponent 8/Filter/DCTDecode"
    others = b"9 0 obj\n" + GOLDEN["r3"][0] + b"\nendobj\n"
    content = pdf((image, lock.opened(picture(1), 10)), others=others, encrypted=True)
    content = content.replace(b"/Encrypt 9 0 R", b"/Encrypt 9 0 R/ID[<%b>]" % IDENTITY.hex().encode())
    seen = look(content)

    assert (WHOLE, {1: hashlib.sha256(picture(1)).digest()}) == (seen.looked, seen.digests)


def test_ciphers() -> None:
    """SP 800-38A, F.2.1 and F.2.5, and a well-known vector of RC4."""
    vector = bytes(range(16))
    plain = bytes.fromhex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51")
    for key, packed in (
        ("2b7e151628aed2a6abf7158809cf4f3c", "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2"),
        (
            "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
            "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d",
        ),
    ):
        assert bytes.fromhex(packed) == aes_cbc_encrypted(bytes.fromhex(key), vector, plain)
        assert plain == aes_cbc_decrypted(bytes.fromhex(key), vector, bytes.fromhex(packed))
    assert bytes.fromhex("bbf316e8d940af0ad3") == rc4(b"Key", b"Plaintext")
