"""Print what the databases of emirrordist know, one line a key, for distkeep import.

Run it with the Python that runs emirrordist, whose modules know the format of its
databases, and give it the options of emirrordist:

    python3 export.py --deletion-db FILE --distfiles-db FILE --content-db FILE --recycle-db FILE

Nothing is written but the lines, and what is read is not executed.
"""
import argparse
import dbm
import io
import pickle
import sys


class Plain(pickle.Unpickler):
    """Knows strings, numbers, tuples and sets, and calls nothing."""

    def find_class(self, module, name):
        if module in ("builtins", "__builtin__") and name in ("set", "frozenset"):
            return set
        raise pickle.UnpicklingError("%s.%s is in no database of emirrordist" % (module, name))


def open_db(path):
    try:
        return dbm.open(path, "r")
    except dbm.error:
        for module in ("berkeleydb", "bsddb3"):
            try:
                return __import__(module).hashopen(path, "r")
            except ImportError:
                pass
        raise


def deletion(name, since):
    return ("deletion", name, "%.6f" % since)


def owner(name, package):
    return ("owner", name, str(package))


def recycle(name, value):
    return ("recycle", name, "%d" % value[0], "%.6f" % value[1])


def content(key, value):
    kind, _, name = key.partition(":")
    if kind != "filename":  # from a digest to names: the names have the digests, too
        return None
    return ("content", name) + tuple(" ".join("%s=%s" % pair for pair in revision) for revision in sorted(value))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    databases = (("deletion", deletion), ("distfiles", owner), ("content", content), ("recycle", recycle))
    for name, _ in databases:
        parser.add_argument("--%s-db" % name, metavar="FILE")
    args = parser.parse_args()
    out = io.TextIOWrapper(sys.stdout.buffer, "utf-8", "surrogateescape", newline="\n")
    lines = 0
    for name, line in databases:
        path = getattr(args, name + "_db")
        if path is None:
            continue
        try:
            db = open_db(path)
        except Exception as e:
            sys.exit("%s: %s" % (path, e))
        for key in db.keys():
            try:
                key = key.decode("utf-8", "surrogateescape")
                fields = line(key, Plain(io.BytesIO(db[key.encode("utf-8", "surrogateescape")])).load())
            except Exception as e:
                print("%s: %r: left out: %s" % (path, key, e), file=sys.stderr)
                continue
            if fields is None:
                continue
            if any(c < " " for field in fields for c in field):
                print("%s: %r: left out: it has control characters" % (path, key), file=sys.stderr)
                continue
            out.write("\t".join(fields) + "\n")
            lines += 1
        db.close()
    out.write("end\t%d\n" % lines)
    out.flush()


main()
