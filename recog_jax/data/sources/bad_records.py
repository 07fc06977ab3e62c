"""Records that cannot be used: left out and listed up to a share of all."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from recog_jax.data import cache
from recog_jax.errors import UserError, warn


def check_share(max_bad_share: float) -> None:
  """Refuses what is no share.

  Raises:
    UserError: it is not in [0, 1).
  """
  if not 0 <= max_bad_share < 1:
    raise UserError(f'max_bad_share must be in [0, 1), not {max_bad_share}.')


def leave_out(
  bad: Sequence[str],
  total: int,
  max_bad_share: float,
  *,
  what: str,
  listing: Path,
  quiet: bool = False,
) -> None:
  """Says that bad records are left out, or stops where they are too many.

  Args:
    bad: a sentence about each of them, with its file.
    total: all records, the bad ones too.
    max_bad_share: the share of all that may be bad; at 0 the first one stops.
    what: the records, for messages.
    listing: the file for all the sentences; made anew.
    quiet: say nothing unless they are too many.

  Raises:
    UserError: more than that share is bad.
  """
  if not bad:
    return
  allowed = int(max_bad_share * total)
  if not max_bad_share:
    raise UserError(
      f'{bad[0]} Mend or remove it, or have such records left out with '
      'max_bad_share.'
    )
  place = ''
  with contextlib.suppress(OSError):
    listing.parent.mkdir(parents=True, exist_ok=True)
    with cache.replaced_when_whole(listing) as f:
      f.write('\n'.join([*bad, '']).encode(errors='backslashreplace'))
    place = f', listed in {listing}'
  if len(bad) > allowed:
    raise UserError(
      f'{len(bad)} of {total} records of {what} are bad{place}, more than the '
      f'{allowed} that max_bad_share={max_bad_share:g} allows; the first: '
      f'{bad[0]}'
    )
  if not quiet:
    warn(f'{len(bad)} of {total} records of {what} are left out{place}.')
