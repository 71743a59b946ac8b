"""Names that stay while what they lead to changes: Ed25519 keys, and records that are signed with them (IPNS).

:mod:`mfs.ipns.name`      a name is a public key, written ``k51...``
:mod:`mfs.ipns.ed25519`   signatures; :mod:`mfs.ipns.rsa` those of old names, which are only checked
:mod:`mfs.ipns.keys`      keys as files of the repository
:mod:`mfs.ipns.record`    records: made, checked, packed and unpacked
:mod:`mfs.ipns.shelf`     records as files of the repository; :mod:`mfs.ipns.files` replaces files whole
:mod:`mfs.ipns.naming`    keys and records of a volume: a tree for each key, signed again when it changes
"""
