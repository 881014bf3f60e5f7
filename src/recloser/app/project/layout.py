"""Owns where a project keeps its state on disk. Does not create anything but folders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from recloser.core import Unavailable


@dataclass(frozen=True, slots=True)
class Layout:
    """Folders and files of one project: code and settings at the top, all state under `state/`."""

    root: Path

    @property
    def state(self) -> Path:
        """Return the folder that holds all state; back this up."""
        return self.root / "state"

    @property
    def ledger_url(self) -> str:
        """Return the URL of the embedded ledger."""
        return f"sqlite:///{(self.state / 'ledger.db').resolve()}"

    @property
    def store(self) -> Path:
        """Return the folder of the versioned series."""
        return self.state / "store"

    @property
    def predictions(self) -> Path:
        """Return the folder of logged predictions: the gateways' logs and the table that they are moved into."""
        return self.state / "predictions"

    @property
    def logs(self) -> Path:
        """Return the folder of what the processes say."""
        return self.state / "logs"

    @property
    def links(self) -> Path:
        """Return the folder of live links: a spool and a state for each device, and the table of readings."""
        return self.state / "links"

    @property
    def windows(self) -> Path:
        """Return the folder of the windows of phasors that were looked at, by day."""
        return self.state / "events" / "windows"

    @property
    def packages(self) -> Path:
        """Return the folder of signed packages."""
        return self.state / "packages"

    @property
    def runs(self) -> Path:
        """Return the folder of unfinished runs' intermediate files."""
        return self.state / "runs"

    @property
    def key(self) -> Path:
        """Return the private signing key's file."""
        return self.state / "keys" / "signing.pem"

    @property
    def accounts(self) -> Path:
        """Return the file of the console's accounts; while it exists every page needs a sign-in."""
        return self.state / "keys" / "accounts.json"

    @property
    def tokens(self) -> Path:
        """Return the file of hashed tokens; while it exists every call of the gateway needs one."""
        return self.state / "keys" / "tokens.json"

    @property
    def tracking_uri(self) -> str:
        """Return the embedded MLflow tracking and registry database."""
        return f"sqlite:///{(self.state / 'mlflow.db').resolve()}"

    @property
    def pipeline_file(self) -> Path:
        """Return the user's Python file with the pipeline and own features and models."""
        return self.root / "pipeline.py"

    def ledger_at(self, url: str | None, url_file: str | None) -> str:
        """Return the URL of the ledger that the project file names: as it is, in a file, or the embedded one.

        Raises:
            Unavailable: the file cannot be read, or is empty.
        """
        if url_file is None:
            return url or self.ledger_url
        try:
            text = (self.root / url_file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Unavailable("cannot read the ledger's URL", got=str(error), where="ledger.url_file") from error
        if not text:
            raise Unavailable("a file without the ledger's URL", got=url_file, where="ledger.url_file")
        return text

    def make(self) -> None:
        """Create the state folders."""
        for folder in (self.state, self.packages, self.runs, self.key.parent):
            folder.mkdir(parents=True, exist_ok=True)
