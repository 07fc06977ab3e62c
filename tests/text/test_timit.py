"""TIMIT's inventories have the published sizes, and fold as published."""

import pytest

from recog_jax.text import timit


def test_inventories_have_61_48_and_39_phones():
  sizes = [len(timit.INVENTORIES[f'timit{n}']) for n in (61, 48, 39)]
  assert sizes == [61, 48, 39]
  assert set(timit.TIMIT39) < set(timit.TIMIT48)
  assert set(timit.TIMIT48) - set(timit.TIMIT61) == {'cl', 'vcl', 'sil'}


@pytest.mark.parametrize('size', [48, 39])
def test_every_phone_folds_into_the_inventory(size):
  target = timit.INVENTORIES[f'timit{size}']
  assert set(timit.fold(timit.TIMIT61, size)) == set(target)
  assert timit.fold(target, size) == list(target)
  assert timit.fold(timit.fold(timit.TIMIT61, 48)) == timit.fold(timit.TIMIT61)


@pytest.mark.parametrize(
  ('labelled', 'of48', 'of39'),
  [
    ('h#', 'sil', 'sil'),
    ('kcl', 'cl', 'sil'),
    ('gcl', 'vcl', 'sil'),
    ('epi', 'epi', 'sil'),
    ('ax-h', 'ax', 'ah'),
    ('axr', 'er', 'er'),
    ('ix', 'ix', 'ih'),
    ('ao', 'ao', 'aa'),
    ('zh', 'zh', 'sh'),
    ('el', 'el', 'l'),
    ('eng', 'ng', 'ng'),
    ('nx', 'n', 'n'),
    ('ux', 'uw', 'uw'),
    ('iy', 'iy', 'iy'),
    ('q', '', ''),
  ],
)
def test_known_folds(labelled, of48, of39):
  assert timit.fold_text(labelled, 48) == of48
  assert timit.fold_text(labelled) == of39


def test_transcripts_fold_with_the_glottal_stop_deleted():
  text = 'h# sh ix hv eh dcl jh ih q dcl d h#'
  assert timit.fold_text(text) == 'sil sh ih hh eh sil jh ih sil d sil'
  assert timit.fold_text('') == ''


def test_what_is_not_timits_is_told():
  with pytest.raises(ValueError, match="'AH0' is not a phone of TIMIT"):
    timit.fold(['sil', 'AH0'])
  with pytest.raises(ValueError, match='48 or 39'):
    timit.fold([], 60)
