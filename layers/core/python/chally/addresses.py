"""Email addresses as the mail system sees them: their ASCII form, and the mailbox behind them."""

_IGNORES_DOTS = ("gmail.com", "googlemail.com")


def to_ascii(address: str) -> str:
    """Return the address with its domain in Punycode, which SES requires. UnicodeError if it is no domain."""
    local, _, domain = address.rpartition("@")
    if domain.isascii():
        return address
    import idna  # few addresses need its tables

    return f"{local}@{idna.encode(domain, uts46=True).decode()}"


def mailbox(address: str) -> str:
    """Return what is the same for all addresses of one mailbox: without tags such as `+news`, in lower case.

    Limits count by it. It is no address to send to.
    """
    local, _, domain = to_ascii(address).lower().rpartition("@")
    local = local.partition("+")[0] or local
    if domain in _IGNORES_DOTS:
        local, domain = local.replace(".", ""), _IGNORES_DOTS[0]
    return f"{local}@{domain}"
