"""A page of pictures, each with what the model says of it."""

import base64
import html
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from recog_jax.answers import Answer, Failed, Label, Labels
from recog_jax.report.answer_formats import said

_SIDE = 160  # Pixels of a thumbnail, whose longer side it is.
_MOST = 2000  # That a browser bears.


def page(
  answers: Sequence[Answer],
  picture: Callable[[Answer], np.ndarray | None],
  title: str,
) -> str:
  """HTML that needs nothing else, neither files nor a network.

  Args:
    answers: in the order of the page.
    picture: answer -> uint8 `h w c`; None where there is none.
    title: the page's.
  """
  shown = answers[:_MOST]
  count = f'{len(answers):,} pictures'
  if len(shown) < len(answers):
    count += f'; the first {len(shown):,} are shown'
  failed = sum(isinstance(answer, Failed) for answer in answers)
  if failed:
    count += f'; {failed:,} could not be read'
  body = '\n'.join(_figure(answer, picture(answer)) for answer in shown)
  return _PAGE.format(title=html.escape(title), count=count, body=body)


def _figure(answer: Answer, image: np.ndarray | None) -> str:
  name = html.escape(answer.source or '')
  short = html.escape(Path(answer.source or '').name)
  bars = ''
  if isinstance(answer, Label | Labels):
    bars = ''.join(
      f'<tr><td>{html.escape(label)}<td><meter value="{p:.4f}"></meter>'
      f'<td class=n>{p:.1%}'
      for label, p in answer.top
    )
  thumbnail = '<div class=none>no picture</div>'
  if image is not None:
    thumbnail = f'<img alt="" src="data:image/jpeg;base64,{_small(image)}">'
  return (
    f'<figure>{thumbnail}<figcaption>'
    f'<b dir=auto>{html.escape(said(answer))}</b><table>{bars}</table>'
    f'<small title="{name}">{short}</small></figcaption>'
    '</figure>'
  )


def _small(image: np.ndarray) -> str:
  h, w = image.shape[:2]
  scale = _SIDE / max(h, w)
  size = max(1, round(w * scale)), max(1, round(h * scale))
  way = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
  image = cv2.resize(image, size, interpolation=way)
  if image.ndim == 3:
    image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
  return base64.b64encode(cv2.imencode('.jpg', image)[1].tobytes()).decode()


_PAGE = """<!doctype html>
<html lang=en><meta charset=utf-8>
<meta name=viewport content="width=device-width">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 14px/1.4 system-ui, sans-serif; margin: 1.5rem }}
main {{ display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(200px, 1fr)) }}
figure {{ margin: 0; border: 1px solid #8884; border-radius: 6px;
  padding: .6rem; overflow: hidden }}
img {{ display: block; margin: 0 auto .4rem; max-width: 100% }}
.none {{ height: 6rem; color: #888; text-align: center }}
table {{ width: 100%; border-spacing: 0; font-size: 12px }}
td {{ overflow-wrap: anywhere }}
.n {{ text-align: right; font-variant-numeric: tabular-nums }}
meter {{ width: 5rem }}
small {{ color: #777; display: block; overflow: hidden; white-space: nowrap;
  text-overflow: ellipsis }}
</style>
<h1>{title}</h1>
<p>{count}</p>
<main>
{body}
</main>
</html>
"""
