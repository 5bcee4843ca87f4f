"""What mends a local stack: nobody deploys it, nobody gives it credentials, and no e-mail of it has to be confirmed."""

from dataclasses import replace

from operations.terminal.findings import Finding, Section, State

_OF_AWS = ("make deploy", "make credentials", "samconfig.toml", "aws sso", "aws ", "confirm", "docs/upgrading.md")
ANEW = "this is the local stack: make down, then make up, makes it anew"


def fitted(section: Section) -> Section:
    """Return what was found with advice that fits a local stack."""
    return replace(section, findings=tuple(map(_fitted, section.findings)))


def _fitted(finding: Finding) -> Finding:
    if "not confirmed" in finding.says or "confirm" in (finding.to_do or ""):
        return replace(finding, state=State.NOTE, to_do="nobody confirms an e-mail of the local stack")
    if finding.to_do and any(words in finding.to_do for words in _OF_AWS):
        return replace(finding, to_do=ANEW)
    return finding
