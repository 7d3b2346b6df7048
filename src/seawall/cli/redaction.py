"""What may be shown of a URL or a message that came from outside."""

import re

import httpx

_USERINFO = re.compile(r"\A((?:[^/?#@]*?:)?//)?.*@", re.DOTALL)


def redacted(given: str) -> str:
    """A URL as typed, without anything that may be a user name or password; it need not be well-formed.

    A malformed URL can have its password anywhere (`http://me:pa/ss@host`), so everything up to the last `@`
    goes.
    """
    return printable(_USERINFO.sub(r"\1***@", given, count=1))


def shown(url: httpx.URL) -> str:
    """A well-formed URL without its user name and password."""
    bare = str(url.copy_with(userinfo=b""))
    return printable(bare.replace("://", "://***@", 1) if url.userinfo else bare)


def without_userinfo(text: str) -> str:
    """A message from elsewhere, with the user names and passwords of any URLs in it left out."""
    return printable(re.sub(r"(?<=//)[^/\s]*@", "***@", text))


def said(error: BaseException, url: httpx.URL) -> str:
    """An error as `Type: message`, without what `url` has before its `@`."""
    message = str(error)
    for secret in filter(None, (url.userinfo.decode("ascii", "replace"), url.password)):
        message = message.replace(secret, "***")
    return printable(f"{type(error).__name__}: {message}" if message else type(error).__name__)


def printable(text: str) -> str:
    """`text` with control characters escaped: a server's words must not steer the terminal."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
