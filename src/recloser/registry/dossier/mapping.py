"""Owns which section of a dossier supports which item of a framework. Claims conformity with none."""

from __future__ import annotations

from dataclasses import dataclass

NIST = "NIST AI RMF 1.0"
EU = "EU AI Act (Regulation 2024/1689)"
NERC = "NERC CIP-010-4"


@dataclass(frozen=True, slots=True)
class Support:
    """What of a dossier an assessor may use for one item.

    Attributes:
        framework, item, title: which item.
        holds: what the dossier contributes, in a sentence.
        lacks: what it does not show and somebody else has to.
        sections: ids of the sections.
    """

    framework: str
    item: str
    title: str
    holds: str
    lacks: str
    sections: tuple[str, ...]


SUPPORTS: tuple[Support, ...] = (
    Support(
        NIST,
        "GOVERN",
        "Policies, roles, accountability",
        "Who or what decided each step, under which thresholds, in an audit log that shows tampering.",
        "The organisation's policies, training and roles.",
        ("approval", "integrity"),
    ),
    Support(
        NIST,
        "MAP",
        "Context and risks are identified",
        "Intended use, validity range, limits, data lineage.",
        "The impact on people and plant of acting on a wrong forecast.",
        ("summary", "model", "lineage", "risks"),
    ),
    Support(
        NIST,
        "MEASURE",
        "Risks are analysed and tracked",
        "Every check with numbers and thresholds, and the comparison with the champion.",
        "Independent measurement by somebody else.",
        ("checks", "champion"),
    ),
    Support(
        NIST,
        "MANAGE",
        "Risks are prioritised and acted upon",
        "Shadow, canary and probation, trips and recalls, and how to roll back.",
        "The response plan of the control room.",
        ("rollout", "rollback", "risks"),
    ),
    Support(
        EU,
        "Article 9",
        "Risk management system",
        "Known risks with what limits each, and the tests passed before use.",
        "The provider's risk management over the whole life of the system.",
        ("risks", "checks", "rollback"),
    ),
    Support(
        EU,
        "Article 10",
        "Data and data governance",
        "Which data, as known when, in which version, with which checks of quality.",
        "Why these data are fit and representative for the purpose.",
        ("lineage", "checks"),
    ),
    Support(
        EU,
        "Article 11",
        "Technical documentation",
        "Model, features, environment, bill of materials, results of tests.",
        "The rest of Annex IV.",
        ("summary", "model", "software", "checks"),
    ),
    Support(
        EU,
        "Article 12",
        "Record-keeping",
        "Audit entries of this release, and the hash that closes the log.",
        "Keeping the logs for the time that the law asks.",
        ("approval", "integrity"),
    ),
    Support(
        EU,
        "Article 13",
        "Transparency and information to deployers",
        "Intended use, accuracy, limits, what it is not for.",
        "Instructions for use in the deployer's words.",
        ("model", "risks"),
    ),
    Support(
        EU,
        "Article 14",
        "Human oversight",
        "Who may stop it, how, and what answers then.",
        "The persons in charge and their training.",
        ("rollback", "approval"),
    ),
    Support(
        EU,
        "Article 15",
        "Accuracy, robustness and cybersecurity",
        "Errors on held-out data, odd and missing inputs, signatures and hashes.",
        "Penetration tests, and security of the place where it runs.",
        ("checks", "software", "integrity"),
    ),
    Support(
        NERC,
        "R1.1",
        "Baseline configuration",
        "Interpreter, platform, every library with version and hash, code commit.",
        "Ports, operating system patches, and the cyber asset itself.",
        ("software", "integrity"),
    ),
    Support(
        NERC,
        "R1.2",
        "Authorise and document changes",
        "What changed against the champion, by which decision, when.",
        "Authorisation by the persons whom the entity names.",
        ("approval", "champion"),
    ),
    Support(
        NERC,
        "R1.4",
        "Verify after the change",
        "What was observed in shadow, canary and probation.",
        "Verification of the controls of CIP-005 and CIP-007.",
        ("rollout",),
    ),
    Support(
        NERC,
        "R1.5",
        "Test before the change, document differences of the test environment",
        "The checks in staging and the environment in which they ran.",
        "Differences outside the software that Recloser sees.",
        ("checks", "software"),
    ),
    Support(
        NERC,
        "R1.6",
        "Identity of the source and integrity of the software",
        "Signature, key, digest of the content, hashes of every library.",
        "That the key reached the verifier by a safe way.",
        ("integrity", "software"),
    ),
)
