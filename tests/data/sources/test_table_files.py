"""Tables as programs and people write them, and what is wrong with some."""

from pathlib import Path

import pytest

from recog_jax.data.sources.table import table
from recog_jax.errors import UserError
from tests.data.tables import picture_rows, split_of, targets_of, write_csv


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
  monkeypatch.setenv('RECOG_JAX_CACHE', str(tmp_path / 'cache'))


def _read(tmp_path, text, name='labels.csv', **keys):
  picture_rows(tmp_path, 4)
  data = text if isinstance(text, bytes) else text.encode()
  (tmp_path / name).write_bytes(data)
  keys = {'label_column': 'kind', 'shares': {'train': 1.0}, **keys}
  return table(file=name, data_dir=tmp_path, **keys)


@pytest.mark.parametrize(
  'data',
  [
    b'\xef\xbb\xbffile,kind\r\npics/0.png,a\r\npics/1.png,b\r\n',
    b'file,kind\npics/0.png,a\npics/1.png,b',
    b'file;kind\r\n pics/0.png ; a\r\n\r\n;\r\npics/1.png;b;;\r\n',
    'file\tkind\npics/0.png\ta\npics/1.png\tb\n'.encode('utf-16'),
    b'file,kind,note\npics/0.png,a,"two\r\nlines ""and"" so"\npics/1.png,b,\n',
    b'file|kind\npics\\0.png|a\npics/1.png|b\n',
    b',file,kind,\n0,pics/0.png,a,\n1,pics/1.png,b,\n',
    b'{"file": "pics/0.png", "kind": "a"}\n\n'
    b'{"kind": "b", "file": "pics/1.png"}',
    b'[{"file": "pics/0.png", "kind": "a"},'
    b' {"file": "pics/1.png", "kind": "b"}]',
  ],
)
def test_the_same_table_as_programs_write_it(tmp_path, data):
  found = targets_of(_read(tmp_path, data))
  assert found == {'pics/0.png': 0, 'pics/1.png': 1}


def test_tabs_with_quotation_marks_as_they_are(tmp_path):
  source = _read(
    tmp_path,
    'file\tkind\tnote\npics/0.png\ta\t"so\npics/1.png\tb\tsaid "no" to\n',
    'labels.tsv',
  )
  assert sum(source.sizes().values()) == 2


def test_absolute_names_and_a_root(tmp_path):
  picture_rows(tmp_path, 2)
  (tmp_path / 'elsewhere').mkdir()
  place = tmp_path / 'elsewhere' / 'labels.csv'
  place.write_text(f'id,kind\n0,a\n{tmp_path}/pics/1,b\n')
  keys = {'path_column': 'id', 'suffix': '.png', 'label_column': 'kind'}
  keys['shares'] = {'train': 1.0}
  source = table(data_dir=place, root='../pics', **keys)
  assert source.sizes() == {'train': 2}
  source = table(data_dir=place, root=tmp_path / 'pics', **keys)
  assert set(split_of(source)) == {'0.png', '1.png'}
  with pytest.raises(UserError, match='none of the 2 files .* set source.root'):
    place.write_text('id,kind\n0,a\n1,b\n')
    table(data_dir=place, **keys)


def test_lists_of_labels_in_json(tmp_path):
  source = _read(
    tmp_path,
    '{"file": "pics/0.png", "kind": ["a", "b"]}\n'
    '{"file": "pics/1.png", "kind": []}\n',
    'labels.jsonl',
  )
  found = targets_of(source)
  assert found['pics/0.png'].tolist() == [1, 1]
  assert found['pics/1.png'].tolist() == [0, 0]


_TWO = 'file,kind,age\npics/0.png,a,1\npics/1.png,b,{}\n'


@pytest.mark.parametrize(
  ('text', 'keys', 'says'),
  [
    ('', {}, 'labels.csv is empty'),
    ('file,kind\n', {}, 'has no row below its header'),
    ('file,kind,kind\npics/0.png,a,b\n', {}, "two columns 'kind': rename"),
    (
      _TWO.format(2),
      {'label_column': 'kinf'},
      'did you mean kind.*age, file, k',
    ),
    (
      _TWO.format('old'),
      {'number_columns': 'age'},
      "row 3: 'old' in column 'age' is",
    ),
    (_TWO.format('nan'), {'number_columns': 'age'}, 'not a finite number'),
    (
      _TWO.format(2),
      {'label_columns': ['age']},
      "row 3: '2' in column 'age' is nei",
    ),
    (_TWO.format('2,3'), {}, 'row 3 has 4 cells, its header 3'),
    ('file,kind\npics/0.png,\n', {}, "row 2: nothing in column 'kind'"),
    (
      'file,kind\npics/0.png,a\npics/9.png,b\n',
      {},
      'row 3: there is no file .*9.png',
    ),
    ('file,kind\npics/0.png,"a\n', {}, r'is no CSV: .*\(line 2\)'),
    (b'file,kind\npics/0.png,caf\xe9\n', {}, 'not UTF-8 .* source.encoding'),
    (b'PK\0\0', {}, 'is no text: save the table as CSV'),
    (_TWO.format(2), {'encoding': 'latin-nine'}, "no encoding 'latin-nine'"),
    (
      _TWO.format(2),
      {'text_column': 'kind', 'label_column': None},
      'names pictures',
    ),
    (
      _TWO.format(2),
      {'label_column': None},
      'no target: name one of label_col',
    ),
    (
      _TWO.format(2),
      {'label_columns': ['age']},
      'label_column and label_columns',
    ),
    (_TWO.format(2), {'kind': 'image'}, 'did you mean images'),
    (
      _TWO.format(2),
      {'split_column': 'age', 'shares': None, 'group_column': 'sex'},
      "unknown column of .* 'sex'",
    ),
    (
      'name,kind\n0,a\n',
      {},
      'no column of names of pictures .* source.path_column',
    ),
    ('{"file": "pics/0.png", "kind": "\\ud800"}', {}, 'no text'),
    ('{"file": "pi\\u0000cs/0.png", "kind": "a"}', {}, 'no text'),
    ('[' * 100_000, {}, 'is no JSON list'),
    ('{"file": ' + '[' * 100_000, {}, 'row 1 is JSON of too many levels'),
    (
      '{"file": "pics/0.png", "kind": "a"}\n7\n',
      {},
      'row 2 is JSON, but no object',
    ),
  ],
)
def test_a_mistake_is_told_in_a_sentence(tmp_path, text, keys, says):
  if 'label_columns' in keys and 'label_column and' not in says:
    keys = {'label_column': None, **keys}
  if 'number_columns' in keys:
    keys = {'label_column': None, **keys}
  with pytest.raises(UserError, match=f'(?s){says}') as error:
    _read(tmp_path, text, **keys)
  assert '\n' not in str(error.value)


def test_where_the_table_lies(tmp_path):
  with pytest.raises(UserError, match=r'set config\.data\.source\.file'):
    table(label_column='kind')
  with pytest.raises(UserError, match='holds no table'):
    table(label_column='kind', data_dir=tmp_path)
  (tmp_path / 'a.csv').write_text('x')
  (tmp_path / 'b.tsv').write_text('x')
  with pytest.raises(UserError, match=r'several tables \(a.csv, b.tsv\)'):
    table(label_column='kind', data_dir=tmp_path)
  with pytest.raises(UserError, match='there is no table'):
    table(label_column='kind', data_dir=tmp_path, file='c.csv')
  (tmp_path / 'c.xlsx').write_bytes(b'x')
  with pytest.raises(UserError, match='save the table as CSV'):
    table(label_column='kind', data_dir=tmp_path, file='c.xlsx')


def test_bad_rows_are_left_out_up_to_a_share(tmp_path, capsys):
  made = picture_rows(tmp_path, 40)
  made[3]['level'] = 'n/a'
  made[4]['file'] = 'pics/absent.png'
  (tmp_path / 'pics' / '5.png').write_bytes(b'\x89PNG')
  write_csv(tmp_path / 'labels.csv', made)
  keys = {'data_dir': tmp_path, 'number_columns': 'level'}
  with pytest.raises(UserError, match="row 5: 'n/a' in column 'level'"):
    table(**keys)
  source = table(**keys, max_bad_share=0.1)
  assert sum(source.sizes().values()) == 37
  told = capsys.readouterr().err
  assert '2 of 40 records' in told and 'are left out, listed in' in told
  listed = Path(told.split('listed in ')[1].split('.txt')[0] + '.txt')
  assert 'pics/absent.png' in listed.read_text()
  with pytest.raises(UserError, match='2 of 40 records .* are bad'):
    table(**keys, max_bad_share=0.04)
