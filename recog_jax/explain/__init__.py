"""Why a model decides as it does: pure functions of a score; the command."""
