"""What a file is, by its content: libmagic, with the container formats looked into.

libmagic comes as a wheel with its database (`pylibmagic`). It is given the first 2 KiB;
where a container's type says little, its directory decides. A stated name decides nothing.
"""

import ctypes
from dataclasses import dataclass

import pylibmagic  # before `magic`, which it shows the way to the library

import magic
from ingest.extraction.readers import compressed, names, ole, signatures, zips
from ingest.extraction.reader import Found, without_gaps
from ingest.extraction.source import SourceFile, extension
from ingest.extraction.wire import UNIDENTIFIED, Identity, Tool
