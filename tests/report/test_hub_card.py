"""Cards as Hugging Face's own parser reads them."""

import math

import pytest

from recog_jax.report import hub_card

FACTS = hub_card.Facts(
  name='a "quoted": name',
  licence='CC BY-SA 4.0 (its makers)',
  task='image-classification',
  languages=('en',),
  data_sets=('mnist',),
  results=(
    hub_card.Result('accuracy', 0.97, 'mnist', 'test', (0.96, 0.98)),
    hub_card.Result('f1_macro', math.nan, 'mnist', 'test'),
    hub_card.Result('loss', 0.1, 'mnist', 'val'),
  ),
  tags=('differential-privacy',),
)
LEDGER = {
  'epsilon': 2.98,
  'delta': 1e-5,
  'clip': 0.1,
  'unit': 'speaker',
  'units': 5000,
  'rate': 0.02,
  'noise': 1.1,
  'steps': 600,
}


def test_the_hub_reads_a_model_card():
  hub = pytest.importorskip('huggingface_hub')
  text = hub_card.write(
    FACTS,
    [('Model', 'lenet'), ('Limits', 'few\nexamples'), ('Other', 'x')],
    {'Model details': ('Model',), 'Limits': ('Limits',)},
    ['| a |\n|---|\n| 1 |'],
  )
  card = hub.ModelCard(text)
  data = card.data
  assert data.license == 'cc-by-sa-4.0' and data.language == ['en']
  assert data.library_name == 'recog_jax'
  assert data.pipeline_tag == 'image-classification'
  assert data.model_name == 'a "quoted": name'
  found = {(r.metric_type, r.dataset_split): r for r in data.eval_results}
  assert set(found) == {('accuracy', 'test'), ('loss', 'val')}
  assert found['accuracy', 'test'].metric_value == 0.97
  assert '0.96 to 0.98' in found['accuracy', 'test'].metric_name
  assert '* **Limits**: few examples' in card.text
  assert card.text.index('**Other**') < card.text.index('## Limits')
  assert '| 1 |' in card.text


def test_the_hub_reads_a_data_card():
  hub = pytest.importorskip('huggingface_hub')
  text = hub_card.write(
    FACTS, [('Licence', 'CC')], {'Details': ()}, of_data=True
  )
  data = hub.DatasetCard(text).data
  assert data.pretty_name == 'a "quoted": name'
  assert data.task_categories == ['image-classification']
  assert data.license == 'cc-by-sa-4.0'


@pytest.mark.parametrize(
  ('text', 'wanted'),
  [
    ('CC BY 4.0 (UCI repository)', {'license': 'cc-by-4.0'}),
    ('CC-BY-NC-SA-3.0', {'license': 'cc-by-nc-sa-3.0'}),
    ('CC0 1.0', {'license': 'cc0-1.0'}),
    ('Apache-2.0', {'license': 'apache-2.0'}),
    ('not stated by the source', {'license': 'unknown'}),
    ('', {'license': 'unknown'}),
    ('ask us', {'license': 'other', 'license_name': 'ask us'}),
  ],
)
def test_licences_have_the_names_of_the_hub(text, wanted):
  assert hub_card.licence_head(text) == wanted


def test_privacy_is_a_sentence():
  told = hub_card.privacy(LEDGER)
  assert 'epsilon 2.98 at delta 1e-05 for all examples of a speaker' in told
  assert 'without differential privacy' in hub_card.privacy(None)
