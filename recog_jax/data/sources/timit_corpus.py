"""TIMIT's folder (Garofolo et al., LDC93S1): phones and words by speaker."""

from pathlib import Path

from recog_jax.data import files as files_lib
from recog_jax.data.sources.speech_listing import (
  Entry,
  Listing,
  children,
  merged,
  read_lines,
)
from recog_jax.errors import UserError

# By split: the 24 speakers of the core test set (TIMIT's own documentation) and
# the 50 of the usual development set (Halberstadt, MIT, 1998).
_SPEAKERS = {
  'val': """
    faks0 fdac1 fjem0 mgwt0 mjar0 mmdb1 mmdm2 mpdf0 fcmh0 fkms0 mbdg0 mbwm0
    mcsh0 fadg0 fdms0 fedw0 mgjf0 mglb0 mrtk0 mtaa0 mtdt0 mthc0 mwjg0 fnmr0
    frew0 fsem0 mbns0 mmjr0 mdls0 mdlf0 mdvc0 mers0 fmah0 fdrw0 mrcs0 mrjm4
    fcal1 mmwh0 fjsj0 majc0 mjsw0 mreb0 fgjd0 fjmg0 mroa0 mteb0 mjfc0 mrjr0
    fmml0 mrws1""",
  'test': """
    mdab0 mwbt0 felc0 mtas1 mwew0 fpas0 mjmp0 mlnt0 fpkt0 mlll0 mtls0 fjlm0
    mbpm0 mklt0 fnlp0 mcmj0 mjdh0 fmgd0 mgrt0 mnjm0 fdhc0 mjln0 mpam0 fmld0""",
}
# Some copies have RIFF files beside, or in place of, the NIST ones.
_AUDIO = ('.wav', '.wav.wav', '.flac')


def list_timit(root: Path, units: str) -> dict[str, Listing]:
  """The splits train, val and test, as far as they are there.

  Args:
    root: holds TRAIN and TEST, or a folder TIMIT (or DATA) that does.
    units: 'phones' or 'words'.

  Raises:
    UserError: there is no such layout, or no recording.
  """
  for place in (root, *children(root, 'timit', 'data')):
    train, test = children(place, 'train'), children(place, 'test')
    if train or test:
      break
  else:
    raise UserError(
      f'{root} is not in the layout of TIMIT: it should hold '
      'TRAIN/DR1/FCJF0/SI1027.WAV, .PHN and so on.'
    )
  listings = {'train': merged(_part(p, None, units) for p in train)}
  for split, names in _SPEAKERS.items():
    speakers = set(names.split())
    listings[split] = merged(_part(p, speakers, units) for p in test)
  found = {k: v for k, v in listings.items() if v.entries or v.bad}
  if not found:
    raise UserError(f'{place} holds no recordings of TIMIT.')
  return found


def _part(part: Path, speakers: set[str] | None, units: str) -> Listing:
  """The sentences of TRAIN or TEST, of some speakers only if they are named."""
  entries, bad = [], []
  for dialect in sorted(files_lib.listed(part), key=lambda p: p.name.lower()):
    if not (dialect.name.lower().startswith('dr') and dialect.is_dir()):
      continue
    for speaker in sorted(
      files_lib.listed(dialect), key=lambda p: p.name.lower()
    ):
      name = speaker.name.lower()
      if speaker.is_dir() and (speakers is None or name in speakers):
        found = _speaker(speaker, dialect.name.lower(), units)
        entries += found.entries
        bad += found.bad
  return Listing(entries, bad)


def _speaker(folder: Path, dialect: str, units: str) -> Listing:
  files = {p.name.lower(): p for p in files_lib.listed(folder)}
  name = folder.name.lower()
  part = folder.parent.parent.name.lower()
  entries, bad = [], []
  stems = sorted({n.split('.')[0] for n in files if n.endswith(_AUDIO)})
  for stem in stems:
    if stem.startswith('sa'):
      continue
    audio = next(files[stem + s] for s in _AUDIO if stem + s in files)
    label = files.get(f'{stem}.phn' if units == 'phones' else f'{stem}.wrd')
    fields = {
      'id': f'{part}/{dialect}/{name}/{stem}',
      'speaker': name,
      'gender': name[0],
      'dialect': dialect,
    }
    try:
      if label is None:
        raise UserError(f'{audio} has no file of its {units} beside it.')
      entries.append(Entry(str(audio), _labels(label), fields))
    except UserError as e:
      bad.append(str(e))
  return Listing(entries, bad)


def _labels(file: Path) -> str:
  """The third column of lines `first sample, last sample, label`."""
  labels = []
  for number, line in enumerate(read_lines(file), 1):
    columns = line.split()
    if not columns:
      continue
    if len(columns) != 3 or not (columns[0] + columns[1]).isdigit():
      raise UserError(f'{file}:{number}: the line is not `begin end label`.')
    labels.append(columns[2])
  return ' '.join(labels)
