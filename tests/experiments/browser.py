"""Opens pages in headless Chromium."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

# Nothing is looked up outside, nothing asked at the first start.
_FLAGS = (
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--enable-logging=stderr',
)
# The page in a frame as wide as a phone; what is found out is left in the DOM.
_PROBE = """<!DOCTYPE html><meta charset="utf-8">
<iframe id="frame" style="width:375px;height:800px;border:0"></iframe>
<script>
const frame = document.getElementById('frame');
frame.onload = () => {
  const page = frame.contentDocument;
  page.querySelectorAll('details').forEach(d => { d.open = true; });
  const images = [...page.images];
  document.body.dataset.found = JSON.stringify({
    width: page.documentElement.scrollWidth,
    images: images.length,
    broken: images.filter(i => !i.complete || !i.naturalWidth).length,
    sections: page.querySelectorAll('section').length,
    lost: [...page.querySelectorAll('a[href^="#"]')].filter(
      a => !page.getElementById(a.getAttribute('href').slice(1))).length,
    small: [...page.querySelectorAll('dd')].filter(
      d => parseFloat(getComputedStyle(d).fontSize) < 14).length,
  });
};
frame.srcdoc = PAGE;
</script>
"""


def look(page: str, folder: Path) -> tuple[dict[str, Any], list[str]]:
  """What a phone shows of a page.

  Args:
    page: its HTML.
    folder: for files.

  Returns:
    Numbers by name, see `_PROBE`; and what the browser's console said.
  """
  program = shutil.which('chromium') or shutil.which('google-chrome')
  if program is None:
    pytest.skip('no Chromium on this machine (Debian: apt install chromium)')
  # All is loaded before the frame says so, and the DOM is written after that.
  page = page.replace('loading="lazy"', 'loading="eager"')
  # Neither of the two may end the script that it stands in.
  text = json.dumps(page).replace('</', '<\\/').replace('<!--', '<\\!--')
  probe = folder / 'probe.html'
  probe.write_text(_PROBE.replace('PAGE', text), encoding='utf-8')
  done = subprocess.run(
    [
      program,
      *_FLAGS,
      f'--user-data-dir={folder / "profile"}',
      '--dump-dom',
      probe.as_uri(),
    ],
    capture_output=True,
    text=True,
    timeout=180,
  )
  found = re.search(r'data-found="([^"]*)"', done.stdout)
  assert found, f'{done.stdout[-500:]}\n{done.stderr[-2000:]}'
  console = [line for line in done.stderr.splitlines() if 'CONSOLE' in line]
  return json.loads(html.unescape(found[1])), console
