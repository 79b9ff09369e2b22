"""The structure of picture files, a format a file: each reduces a file to the parts that show the picture.

Decoders spend time and memory on every part that they are given, however many there are. So the parts are counted and
chosen here, before a decoder sees the file: the pixels, the first profile and the first EXIF. All else is dropped:
texts, previews, second pictures, videos, and ancillary parts that are broken.
"""
