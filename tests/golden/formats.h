/* SPDX-License-Identifier: Apache-2.0 */
/* Made by tests/golden/images.py with Pillow: sha256 of the planes of convert("RGB"), EXIF followed. */
/* clang-format off */
#ifndef DFAL_TESTS_GOLDEN_FORMATS_H
#define DFAL_TESTS_GOLDEN_FORMATS_H

static const struct {
    const char *name;
    int width, height;
    const char *sha256;
} golden_formats[] = {
    {"alpha.bmp", 16, 11,
     "f80cbde5e85b8a407d8422c39600e3adf771fe8f8cbcb26d895156ae9b858aca"},
    {"alpha.tif", 16, 11,
     "f80cbde5e85b8a407d8422c39600e3adf771fe8f8cbcb26d895156ae9b858aca"},
    {"alpha.webp", 16, 11,
     "e7c11c705edd21df5f3af8cefdeb5a0ab8e617fc013d38e5426f5b2d52593b44"},
    {"bits.bmp", 16, 11,
     "6c680d27b90a163cb372be2d0f957cdf86908962632b79ab7df1e8384653536d"},
    {"colour.bmp", 16, 11,
     "f80cbde5e85b8a407d8422c39600e3adf771fe8f8cbcb26d895156ae9b858aca"},
    {"colour.tif", 16, 11,
     "f80cbde5e85b8a407d8422c39600e3adf771fe8f8cbcb26d895156ae9b858aca"},
    {"deep-big.tif", 16, 11,
     "f80cbde5e85b8a407d8422c39600e3adf771fe8f8cbcb26d895156ae9b858aca"},
    {"deep.tif", 16, 11,
     "f80cbde5e85b8a407d8422c39600e3adf771fe8f8cbcb26d895156ae9b858aca"},
    {"deflate.tif", 16, 11,
     "f80cbde5e85b8a407d8422c39600e3adf771fe8f8cbcb26d895156ae9b858aca"},
    {"fax.tif", 16, 11,
     "6c680d27b90a163cb372be2d0f957cdf86908962632b79ab7df1e8384653536d"},
    {"fifteen.bmp", 16, 11,
     "d0fad4c5ffc60058caaed6b8dca8830231b83c506cd6ec7ef01a1c588e707491"},
    {"four.bmp", 16, 11,
     "59be5a50f7e47fb06fc06bbc20a42cb8e2a31119a6b4478c59350f520b4ecc20"},
    {"grey.bmp", 16, 11,
     "715f0aa70f7dcfd22651a3b14dc9ea7b411bc05f6021630222e7507e603ac36e"},
    {"inks.tif", 16, 11,
     "f80cbde5e85b8a407d8422c39600e3adf771fe8f8cbcb26d895156ae9b858aca"},
    {"jpeg.tif", 16, 11,
     "43ef22388152a5833f4dabf1fae4690836cb19c512decd7ff624809381694777"},
    {"lossless.webp", 16, 11,
     "f80cbde5e85b8a407d8422c39600e3adf771fe8f8cbcb26d895156ae9b858aca"},
    {"lossy.webp", 16, 11,
     "8e0d9289e230c87a0626d8b3deafc7e066799d419585ff24f6607c1d3eaf724b"},
    {"multiplied.tif", 16, 11,
     "cacfebae58d649e6981c97bad5cdebbe50dbf7599c3bfc681951b253fc4cd921"},
    {"packed.tif", 16, 11,
     "715f0aa70f7dcfd22651a3b14dc9ea7b411bc05f6021630222e7507e603ac36e"},
    {"palette.bmp", 16, 11,
     "86069907693285943e7012c0fcbbc48433231b02d61662bfac62f849a1946a75"},
    {"palette.tif", 16, 11,
     "5280333b89ea368781945606b932de2e8d6480eb03b1a54ffbf23b71d3543321"},
    {"planes.tif", 16, 11,
     "f80cbde5e85b8a407d8422c39600e3adf771fe8f8cbcb26d895156ae9b858aca"},
    {"sixteen.bmp", 16, 11,
     "2856ce3190b4f556e891afb4fadb086f5e576df1156b2398c34d396912ee5be7"},
    {"tile-planes.tif", 37, 23,
     "67373da6c0e894557c599bbfd39303c90d131b4e58b526059f3a6f878b64733c"},
    {"tiles.tif", 37, 23,
     "67373da6c0e894557c599bbfd39303c90d131b4e58b526059f3a6f878b64733c"},
    {"turned.tif", 11, 16,
     "a8daca19ee141e3d599df01d42e67594f0cfd6037335b4bd378746517032c90f"},
    {"turned.webp", 11, 16,
     "a8daca19ee141e3d599df01d42e67594f0cfd6037335b4bd378746517032c90f"},
    {"white.tif", 16, 11,
     "f08d441822ceaf52463f3bee1dbe1b22c98e3752a70f6494a84a3d64db02f95c"},
};

#endif
