"""What a package is for. The weakest evidence of all: it speaks when class, code and message are silent. Data."""

from ..failure import FailureType
from ..frames import frames_of, module_of
from ..look import Look
from ..verdict import Strength, Verdict

# Parsers, codecs, validators and arithmetic: what they cannot do to these bytes today they cannot do tomorrow.
_PACKAGES = """
PIL backports zlib_ng pyzstd block imageio cv2 pikepdf pypdf PyPDF2 PyPDF4 pdfminer pdfplumber fitz pymupdf
reportlab weasyprint docx pptx openpyxl
xlrd xlsxwriter odf lxml bs4 html5lib xmlschema xmltodict defusedxml yaml ruamel toml tomli tomlkit tomllib json5
ujson orjson simplejson rapidjson msgpack cbor2 bson ubjson avro fastavro capnp flatbuffers pyarrow fastparquet
polars pandas numpy scipy shapely pyproj fiona rasterio geojson h5py tables netCDF4 zarr rarfile py7zr zipfile
tarfile gzip zlib bz2 lzma zstandard lz4 brotli snappy blosc soundfile audioread pydub mutagen wave marshmallow
pydantic pydantic_core cerberus voluptuous schema schematics jsonschema fastjsonschema attr attrs cattr cattrs
msgspec dacite phonenumbers email_validator babel pytz arrow pendulum dateutil isodate croniter icalendar vobject
stdnum iso3166 pycountry chardet csv struct binascii base64 decimal fractions codecs quopri plistlib nacl
cryptography Crypto nltk spacy tiktoken tokenizers markdown mistune docutils sqlparse sqlglot pyparsing lark parso
construct bitstring pydicom astropy networkx sympy statsmodels
"""
_OF_DATA = frozenset(_PACKAGES.split())


def read(look: Look) -> Verdict | None:
    """Validation, for an error of a package that only works on data, or a plain builtin that it raised."""
    package = look.facts.keys[0].rpartition(".")[0]
    if not package:
        frames = look.attempt(frames_of, look.exc.__traceback__)
        package = module_of(frames[-1]).partition(".")[0] if frames else ""
    if package not in _OF_DATA:
        return None
    return Verdict(
        type=FailureType.PERMANENT_VALIDATION,
        rule=f"package.{package}",
        detail=f"an error of {package}, which works on data",
        strength=Strength.WORDS,
        confidence=0.5,
    )
