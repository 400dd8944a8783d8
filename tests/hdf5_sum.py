# SPDX-License-Identifier: Apache-2.0
"""The checksum that stands behind metadata of HDF5's newer format, by the library that h5py has loaded."""
import ctypes

import h5py  # noqa: F401: loads the library


def library():
    with open("/proc/self/maps") as maps:
        return ctypes.CDLL(next(line.split()[-1] for line in maps if "libhdf5" in line and "libhdf5_hl" not in line))


_lookup3 = library().H5_checksum_lookup3
_lookup3.restype = ctypes.c_uint32


def lookup3(content):
    return _lookup3(ctypes.c_char_p(bytes(content)), ctypes.c_size_t(len(content)), ctypes.c_uint32(0))
