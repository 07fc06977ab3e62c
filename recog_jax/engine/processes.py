"""Many processes as one run: how they find each other, and end together."""

import contextlib
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
from jaxlib.version import __version__ as jaxlib_version

from recog_jax.engine import provenance
from recog_jax.engine.liveness import Channel
from recog_jax.engine.stopping import StopRequest
from recog_jax.errors import UserError, tell, told

# How long processes wait for each other at the start.
START_SECONDS = 120.0
# A run takes the next port as well.
_MOST_PORTS = 65535
# A collective of a process that died fails somewhat before the channel tells.
_NOTICE_SECONDS = 10.0


def find(
  coordinator: str | None, count: int | None, process: int | None
) -> tuple[str, int, int] | None:
  """Where process 0 is, how many there are, and which one this is.

  From the flags; else from what jax knows of clusters: TPU VMs (also on GKE),
  Slurm, Open MPI. None where nothing speaks of more than one process.

  Args:
    coordinator: `host:port` of process 0, or `none`: look for no cluster.
    count: number of processes.
    process: number of this one, from 0.

  Raises:
    UserError: flags that do not go together.
  """
  if coordinator == 'none':
    return None
  if coordinator is None and count is None and process is None:
    return _cluster()
  if coordinator is None or count is None or process is None:
    raise UserError(
      '--coordinator, --num_processes and --process_id go together: give all '
      'three, the first two alike in every process'
    )
  host, _, port = coordinator.rpartition(':')
  known = port.isdecimal() and 0 < int(port[:6]) < _MOST_PORTS
  if not host or not known:
    raise UserError(
      f'--coordinator={coordinator}: give host:port of process 0, a port below '
      f'{_MOST_PORTS}'
    )
  if not 0 <= process < count:
    raise UserError(
      f'--process_id={process} of --num_processes={count}: count from 0'
    )
  return coordinator, count, process


def _cluster() -> tuple[str, int, int] | None:
  # jax says how many processes a cluster has only while it connects them.
  from jax._src.clusters import ClusterEnv

  for cluster in ClusterEnv._cluster_types:
    if cluster.opt_in_only_method or not cluster.is_env_present():
      continue
    count = cluster.get_process_count()
    if count < 2:
      return None
    port = os.environ.get('JAX_COORDINATOR_PORT')
    address = cluster.get_coordinator_address(
      timeout_secs=int(START_SECONDS), override_coordinator_port=port
    )
    return address, count, cluster.get_process_id()
  return None


@contextlib.contextmanager
def joined(
  found: tuple[str, int, int] | None,
  facts: Mapping[str, Any],
  stop: StopRequest | None = None,
  seconds: float = START_SECONDS,
) -> Iterator[None]:
  """Inside, jax sees the devices of all processes.

  If one of them dies the others end within seconds, with a sentence and exit
  code 1. An error in one of them ends all of them with that error. A request to
  stop that reaches one stops all of them at the same step.

  Args:
    found: see `find`; None: this process is alone, and nothing is done.
    facts: what has to be the same in all of them, by name, beside the versions
      of code and jax.
    stop: the request of this process.
    seconds: how long they wait for each other at the start.

  Raises:
    UserError: a process did not come, or differs.
  """
  if found is None or found[1] == 1:
    yield
    return
  address, count, process = found
  host, _, port = address.rpartition(':')
  host = host.strip('[]')  # Of an address of version 6.
  channel = Channel(process, count)
  facts = {
    **facts,
    'code version': provenance.version(),
    'jax version': jax.__version__,
    'jaxlib version': jaxlib_version,
  }
  # jax's own service has the port; this line the next one.
  if process == 0:
    channel.listen(host, int(port) + 1, facts, seconds)
  else:
    channel.connect(host, int(port) + 1, facts, seconds)
  try:
    jax.config.update('jax_cpu_collectives_implementation', 'gloo')
    # Deaths and preemptions are the channel's business: jax's own services
    # would end with a stack trace, and take SIGTERM away from `stop`.
    jax.config.update('jax_enable_recoverability', True)
    jax.config.update('jax_enable_preemption_service', False)
    jax.distributed.initialize(
      address, count, process, initialization_timeout=int(seconds)
    )
    if stop is not None:
      stop.share(channel)
    yield
  except BaseException as error:
    _fail(channel, error)
  _leave(channel)


def _leave(channel: Channel) -> None:
  """An orderly end: process 0, which has jax's service, goes last.

  A client whose service is gone would abort.
  """
  if channel.process == 0:
    channel.close()
  jax.distributed.shutdown()
  if channel.process != 0:
    channel.close()


def _fail(channel: Channel, error: BaseException) -> None:
  """Ends this process with its error, and the others as well.

  At once: jax would wait at the exit for processes that end likewise.
  """
  if isinstance(error, SystemExit) and not error.code:
    _leave(channel)
    raise error
  sentence = told(error)
  if sentence is None:
    channel.await_ending(_NOTICE_SECONDS)
    traceback.print_exception(error)
  channel.fail(sentence or str(error) or type(error).__name__)
  if sentence is not None:
    tell(sentence)
  sys.stdout.flush()
  sys.stderr.flush()
  os._exit(1)


def is_first() -> bool:
  """Whether this is the process that writes."""
  return jax.process_index() == 0


def one_first(action: Callable[[], Any]) -> None:
  """Runs an action in process 0, and then in the others, who find it done."""
  if jax.process_count() == 1:
    action()
    return
  from jax.experimental import multihost_utils

  for turn in (True, False):
    if is_first() == turn:
      action()
    multihost_utils.sync_global_devices(f'one_first_{turn}')


def of_first(values: list[int], size: int) -> list[int]:
  """Process 0's list of numbers, in every process.

  Args:
    values: numbers from 0; the first `size` of them count.
    size: the same everywhere.
  """
  if jax.process_count() == 1:
    return values
  from jax.experimental import multihost_utils

  row = np.full(size, -1, np.int32)
  row[: len(values[:size])] = values[:size]
  row = np.asarray(multihost_utils.broadcast_one_to_all(row))
  return [int(v) for v in row if v >= 0]
