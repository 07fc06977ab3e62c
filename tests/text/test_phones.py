"""Phones of the IPA, and how they are made."""

import unicodedata

import numpy as np
import pytest

from recog_jax.text import phones


def test_every_phone_of_the_inventory_has_features_of_its_own():
  rows = phones.rows(phones.INVENTORY)
  assert rows.shape == (len(phones.INVENTORY), len(phones.FEATURES))
  assert len({row.tobytes() for row in rows}) == len(phones.INVENTORY)
  assert len({*phones.INVENTORY}) == len(phones.INVENTORY)
  assert set(np.unique(rows)) <= {-1, 0, 1}


def test_the_inventory_is_segmented_as_itself():
  text = ' '.join(phones.INVENTORY)
  for form in ('NFC', 'NFD'):
    found, unknown = phones.segment(unicodedata.normalize(form, text))
    assert tuple(found) == phones.INVENTORY and not unknown


@pytest.mark.parametrize(
  ('text', 'wanted'),
  [
    ('ɡʰʌr', 'ɡʰ ʌ r'),
    ('ˈt͡ʃaːnd', 'tʃ aː n d'),
    ('d͡ʒɑː', 'dʒ ɑː'),
    ('mẽ hõː', 'm ẽ h õː'),
    ('gut', 'ɡ u t'),
    ('ð̩ə ç', 'ð̩ ə ç'),
    ('sɪndhi', 's ɪ n d h i'),
  ],
)
def test_ipa_becomes_phones(text, wanted):
  found, unknown = phones.segment(text)
  normal = [unicodedata.normalize('NFD', p) for p in found]
  plain = [unicodedata.normalize('NFD', p) for p in wanted.split()]
  plain = [p.replace('c\u0327', 'ç') for p in plain]
  normal = [p.replace('c\u0327', 'ç') for p in normal]
  assert [sorted(p) for p in normal] == [sorted(p) for p in plain]
  assert not unknown


def test_what_is_no_ipa_is_told():
  assert phones.segment('pa7ب') == (['p', 'a'], ['7', 'ب'])
  with pytest.raises(ValueError, match='no phone'):
    phones.features('7')


def test_features_say_what_differs():
  index = phones.FEATURES.index

  def apart(a, b):
    found = np.flatnonzero(phones.features(a) != phones.features(b))
    return {phones.FEATURES[i] for i in found}

  assert apart('p', 'b') == {'voice'}
  assert apart('k', 'kʰ') == {'spread_glottis'}
  assert apart('a', 'aː') == {'long'}
  assert apart('o', 'õ') == {'nasal'}
  assert apart('t', 'ʈ') == {'anterior'}
  assert phones.features('m')[index('nasal')] == 1
  assert phones.distance('p', 'p') == 0 < phones.distance('p', 'b')
  assert phones.distance('p', 'b') < phones.distance('p', 'a')


def test_other_languages_phones_come_as_their_nearest():
  assert phones.nearest('ɓ', ('b', 'a', 's')) == 'b'
  assert phones.nearest('ʂ', ('ʃ', 'u', 'm')) == 'ʃ'
  assert phones.common('ɱ') == ['m']
  assert phones.common('θ', ('s', 't', 'a')) == ['s']
  assert phones.common('ɕ') == ['ʃ']
