"""Enrol, find, delete and renew, with a model whose embeddings are known."""

import dataclasses
import types

import numpy as np
import pytest

from recog_jax.answers import Outputs
from recog_jax.engine.gallery import run, store
from recog_jax.errors import UserError

_CONSENT = store.Consent('the lab', '2026-01-31')
_DIM = 32


@dataclasses.dataclass
class _Model:
  """Files are called PERSON-NUMBER: a direction of the person, and noise."""

  variables: dict
  origin: str = 'runs/toy'
  step: int = 7
  task = types.SimpleNamespace(open_set=True)

  def predict(self, files):
    return [Outputs(f, tuple(_embedding(f).tolist())) for f in files]


def _embedding(file):
  person, number = file.split('-')
  if person == 'nothing':
    return np.zeros(_DIM)
  seed = [ord(c) for c in person]
  found = np.random.default_rng(seed).normal(size=_DIM)
  found += 0.5 * np.random.default_rng([int(number), *seed]).normal(size=_DIM)
  return found / np.linalg.norm(found)


@pytest.fixture
def model():
  return _Model({'w': np.ones(3)})


@pytest.fixture
def workdir(tmp_path):
  """Of a training, whose val split was evaluated."""
  files = [f'v{p}-{i}' for p in range(12) for i in range(5)]
  (tmp_path / 'run' / 'results').mkdir(parents=True)
  with (tmp_path / 'run/results/val-7-embeddings.npz').open('wb') as file:
    np.savez_compressed(
      file,
      embedding=np.stack([_embedding(f) for f in files]).astype(np.float32),
      person=np.repeat(np.arange(12), 5),
    )
  return str(tmp_path / 'run')


@pytest.fixture
def place(tmp_path):
  return run.Place(tmp_path / 'lab.json', tmp_path / 'lab.key')


def _enrol(place, model, workdir, name, files, more=False):
  return run.enrol(
    place,
    model,
    workdir,
    files,
    name=name,
    consent=_CONSENT,
    more=more,
    far=0.01,
  )


def _all(place, model, workdir):
  for name in ('Ada', 'Grace', 'Ḥasan'):
    _enrol(place, model, workdir, name, [f'{name}-{i}' for i in range(3)])


def test_people_are_found_and_strangers_are_not(place, model, workdir):
  _all(place, model, workdir)
  files = [f'{name}-9' for name in ('Ada', 'Grace', 'Ḥasan', 'Eve', 'Mallory')]
  found = [*run.identify(place, model, files, far=0.05, top=2)]
  assert [f.name for f in found] == ['Ada', 'Grace', 'Ḥasan', None, None]
  assert [len(f.best) for f in found] == [2] * 5
  ok, wrong = run.verify(
    place, model, ['Ada-9', 'Grace-9'], name='ada', far=0.01
  )
  assert (ok.name, wrong.name) == ('Ada', None)
  lines = []
  assert run.tell_found(found, lines.append) == 1
  assert lines[0].startswith('Ada-9  Ada  Ada ')
  assert 'nobody' in lines[3]
  assert run.tell_found(found[:3], lines.append) == 0


def test_thresholds_come_from_val(place, model, workdir):
  _all(place, model, workdir)
  gallery, key = place.opened()
  kept = np.load(f'{workdir}/results/val-7-embeddings.npz')
  bits = run.templates.bits_of(key, kept['embedding'])
  i, j = np.triu_indices(60, 1)
  score = run.templates.similarity(bits[i], bits[j])
  impostor = score[kept['person'][i] != kept['person'][j]]
  for far, threshold in gallery.thresholds.items():
    assert (impostor >= threshold).sum() <= far * len(impostor)
    assert (impostor >= threshold - 0.02).sum() >= far * len(impostor) - 1
  assert min(gallery.thresholds) == 1e-4  # 1,650 pairs: none may pass.
  assert gallery.threshold(0.02) == (gallery.thresholds[0.01], 0.01)
  assert gallery.threshold(1e-9)[1] == 1e-4
  assert '12 people of val at step 7, 1650 pairs' in gallery.chosen_on


def test_a_deleted_person_is_in_no_byte(place, model, workdir):
  _all(place, model, workdir)
  before = place.gallery.read_bytes()
  gone = store.read(place.gallery).find('Grace')
  told = run.delete(place, 'grace')
  after = place.gallery.read_bytes()
  traces = [b'Grace', b'grace']
  for template in gone.templates:
    traces += [
      template.name.encode(),
      bytes.fromhex(template.name),
      template.bits,
      store.base64.b64encode(template.bits),
    ]
  assert all(t in before for t in traces[:1])
  assert not any(trace in after for trace in traces)
  assert "'Grace' and 3 templates are deleted" in told
  assert [p.name for p in store.read(place.gallery).people] == ['Ada', 'Ḥasan']
  files = {p.name for p in place.gallery.parent.iterdir()}
  assert files == {'lab.json', 'lab.key', 'run'}
  (found,) = run.identify(place, model, ['Grace-9'], far=0.05, top=1)
  assert found.name is None
  with pytest.raises(UserError, match='Grace'):
    run.delete(place, 'Grace')


def test_a_renewed_gallery_finds_the_same_and_old_copies_nobody(
  place, model, workdir
):
  _all(place, model, workdir)
  files = ['Ada-9', 'Grace-9', 'Eve-1']
  before = [*run.identify(place, model, files, far=0.05, top=3)]
  stolen = place.gallery.read_bytes(), place.key.read_bytes()
  run.renew(place)
  assert [*run.identify(place, model, files, far=0.05, top=3)] == before
  old = {t.bits for p in store.read(place.gallery).people for t in p.templates}
  renewed = place.gallery.read_bytes()
  place.gallery.write_bytes(stolen[0])
  assert not old & {
    t.bits for p in store.read(place.gallery).people for t in p.templates
  }
  with pytest.raises(UserError, match='is not the key of'):
    [*run.identify(place, model, files, far=0.05, top=3)]
  place.gallery.write_bytes(renewed)
  place.key.write_bytes(stolen[1])
  with pytest.raises(UserError, match='is not the key of'):
    place.opened()


def test_a_renewal_that_was_ended_halfway(place, model, workdir, monkeypatch):
  _all(place, model, workdir)
  key = place.key.read_bytes()
  monkeypatch.setattr(store, 'write', lambda *_: 1 / 0)
  with pytest.raises(ZeroDivisionError):
    run.renew(place)
  assert place.opened()[1].name == store.read(place.gallery).key
  monkeypatch.undo()
  run.renew(place)
  # As if it had ended before the last step: the new key beside the old one.
  place.key.replace(place.key.with_name('lab.key.new'))
  place.key.write_bytes(key)
  assert place.opened()[1].name == store.read(place.gallery).key
  assert not place.key.with_name('lab.key.new').exists()


def test_two_people_of_one_name(place, model, workdir):
  _all(place, model, workdir)
  with pytest.raises(UserError, match="'Ada' is enrolled already"):
    _enrol(place, model, workdir, 'ADA', ['Ada-5'])
  with pytest.raises(UserError, match='like no other picture of'):
    _enrol(place, model, workdir, 'Ada', ['Eve-5'], more=True)
  with pytest.raises(
    UserError, match='Eve-1 is like no other|Ada-1 is like no'
  ):
    _enrol(place, model, workdir, 'Both', ['Ada-1', 'Eve-1'])
  _enrol(place, model, workdir, 'Ada', ['Ada-5', 'Ada-6'], more=True)
  assert len(store.read(place.gallery).find('Ada').templates) == 5
  with pytest.raises(UserError, match="has agreed to 'the lab'"):
    run.enrol(
      place,
      model,
      workdir,
      ['Ada-7'],
      name='Ada',
      consent=store.Consent('the shop', '2026-02-01'),
      more=True,
      far=0.01,
    )
  with pytest.raises(UserError, match='Nobody'):
    _enrol(place, model, workdir, 'Nobody', ['Ada-5'], more=True)


def test_one_person_of_two_names_is_warned_of(place, model, workdir, capsys):
  _all(place, model, workdir)
  _enrol(place, model, workdir, 'Countess', ['Ada-7'])
  assert "'Countess' looks like 'Ada'" in capsys.readouterr().err


def test_a_gallery_of_another_model(place, model, workdir):
  _all(place, model, workdir)
  other = _Model({'w': np.zeros(3)})
  with pytest.raises(UserError, match='was made with another model'):
    [*run.identify(place, other, ['Ada-1'], far=0.1, top=1)]
  with pytest.raises(UserError, match='was made with another model'):
    _enrol(place, other, workdir, 'Eve', ['Eve-1'])
  classifier = _Model({})
  classifier.task = types.SimpleNamespace()
  with pytest.raises(UserError, match='gives no embeddings'):
    run.fingerprint(classifier)


def test_a_picture_that_says_nothing(place, model, workdir):
  with pytest.raises(UserError, match='nothing-1: its embedding is zero'):
    _enrol(place, model, workdir, 'Ada', ['nothing-1'])
  assert not place.gallery.exists() and not place.key.exists()


def test_without_an_evaluation_there_are_no_thresholds(place, model, workdir):
  model.step = 8
  with pytest.raises(UserError, match='recog_jax.evaluate .* --checkpoint=8'):
    _enrol(place, model, workdir, 'Ada', ['Ada-1'])


@pytest.mark.parametrize(
  ('purpose', 'date', 'says'),
  [
    (None, '2026-01-31', 'nobody is enrolled without consent'),
    (' ', '2026-01-31', 'nobody is enrolled without consent'),
    ('the lab', None, 'nobody is enrolled without consent'),
    ('the lab', '31.1.2026', 'is no date'),
    ('the lab', '2999-01-01', 'yet to come'),
  ],
)
def test_consent_is_needed(purpose, date, says):
  with pytest.raises(UserError, match=says):
    store.make_consent(purpose, date)


def test_a_damaged_gallery(place, model, workdir):
  with pytest.raises(UserError, match='is not there'):
    run.listing(place)
  _all(place, model, workdir)
  assert 'Ada  3 pictures  2026-01-31  the lab' in run.listing(place)[0]
  text = place.gallery.read_text()
  template = store.read(place.gallery).people[0].templates[0].name
  for bad in ('{}', '[]', text.replace(template, 'z'), text[:-20]):
    place.gallery.write_text(bad)
    with pytest.raises(UserError):
      run.listing(place)
  for name in (None, ' ', 'a\nb'):
    with pytest.raises(UserError, match='say who it is'):
      store.check_name(name)
