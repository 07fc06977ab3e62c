"""The parser of optimised programs, on short ones in XLA's notation."""

import pytest

from recog_jax.planning.hlo import Array, Module, arrays

# As XLA's compiler for TPUs writes them, shortened.
LOOP = """HloModule jit_step, is_scheduled=true, num_partitions=8

%add (x: f32[], y: f32[]) -> f32[] {
  %x = f32[] parameter(0)
  %y = f32[] parameter(1)
  ROOT %sum = f32[] add(%x, %y)
}

%body (p: (s32[], f32[4,8])) -> (s32[], f32[4,8]) {
  %p = (s32[], f32[4,8]{1,0:T(8,128)}) parameter(0)
  %i = s32[] get-tuple-element(%p), index=0
  %x = f32[4,8]{1,0:T(8,128)} get-tuple-element(%p), index=1
  %all-reduce.1 = f32[4,8]{1,0:T(8,128)} all-reduce(%x), channel_id=1, replica_groups=mesh['axis_0'=4,'axis_1'=2] {'axis_1'}, to_apply=%add, metadata={op_name="jit(step)/norm/sum"}
  ROOT %t = (s32[], f32[4,8]{1,0}) tuple(%i, %all-reduce.1)
}

%cond (p: (s32[], f32[4,8])) -> pred[] {
  %p = (s32[], f32[4,8]{1,0}) parameter(0)
  %i = s32[] get-tuple-element(%p), index=0
  %limit = s32[] constant(5)
  ROOT %less = pred[] compare(%i, %limit), direction=LT
}

ENTRY %main (a: f32[4,8], b: bf16[16]) -> f32[4,8] {
  %a = f32[4,8]{1,0:T(8,128)} parameter(0)
  %b = bf16[16]{0} parameter(1)
  %zero = s32[] constant(0)
  %start = (s32[], f32[4,8]{1,0}) tuple(%zero, %a)
  %loop = (s32[], f32[4,8]{1,0}) while(%start), condition=%cond, body=%body
  %both = (f32[4,8]{1,0:T(8,128)S(1)}, /*index=1*/bf16[16]{0}) all-reduce(%a, %b), channel_id=2, replica_groups=[1,8]<=[8], to_apply=%add
  ROOT %out = f32[4,8]{1,0} get-tuple-element(%loop), index=1
}
"""  # noqa: E501

ASYNC = """HloModule jit_step, num_partitions=4

%part (p.1: bf16[2,8]) -> bf16[8,8] {
  %p.1 = bf16[2,8]{1,0} parameter(0)
  ROOT %all-gather.9 = bf16[8,8]{1,0} all-gather(%p.1), channel_id=7, replica_groups={{0,1,2,3}}, dimensions={0}
}

%part.2 (p.2: bf16[2,8]) -> bf16[8,8] {
  %p.2 = bf16[2,8]{1,0} parameter(0)
  ROOT %all-gather.10 = bf16[8,8]{1,0} all-gather(%p.2), channel_id=7, replica_groups={{0,1,2,3}}, dimensions={0}
}

ENTRY %main (a: bf16[2,8], b: f32[4]) -> bf16[8,8] {
  %a = bf16[2,8]{1,0} parameter(0)
  %b = f32[4]{0} parameter(1)
  %ag-start = (bf16[2,8]{1,0}, bf16[8,8]{1,0}) all-gather-start(%a), channel_id=1, replica_groups={{0,1},{2,3}}, dimensions={0}
  %ag-done = bf16[8,8]{1,0} all-gather-done(%ag-start)
  %ar-start = f32[4]{0} all-reduce-start(%b), channel_id=2, replica_groups={}, to_apply=%add
  %ar-done = f32[4]{0} all-reduce-done(%ar-start)
  %permuted = f32[4]{0} collective-permute(%ar-done), channel_id=3, source_target_pairs={{0,1},{1,2}}
  %first = bf16[8,8]{1,0} fusion(%a), kind=kCustom, calls=%part
  ROOT %second = bf16[8,8]{1,0} fusion(%a), kind=kCustom, calls=%part.2
}
"""  # noqa: E501

MEMORY = """HloModule jit_step

%one_row (p0: f32[100,8], p1: s32[]) -> f32[1,8] {
  %p0 = f32[100,8]{1,0} parameter(0)
  %p1 = s32[] parameter(1)
  %zero = s32[] constant(0)
  %row = f32[1,8]{1,0} dynamic-slice(%p0, %p1, %zero), dynamic_slice_sizes={1,8}
  ROOT %twice = f32[1,8]{1,0} add(%row, %row)
}

%put_row (q0: f32[100,8], q1: f32[1,8], q2: s32[]) -> f32[100,8] {
  %q0 = f32[100,8]{1,0} parameter(0)
  %q1 = f32[1,8]{1,0} parameter(1)
  %q2 = s32[] parameter(2)
  %none = s32[] constant(0)
  ROOT %put = f32[100,8]{1,0} dynamic-update-slice(%q0, %q1, %q2, %none)
}

ENTRY %main (x: f32[100,8], i: s32[]) -> f32[100,8] {
  %x = f32[100,8]{1,0} parameter(0)
  %i = s32[] parameter(1)
  %copy-start = (f32[100,8]{1,0:S(1)}, f32[100,8]{1,0}, u32[]{:S(2)}) copy-start(%x)
  %near = f32[100,8]{1,0:S(1)} copy-done(%copy-start)
  %on_chip = f32[100,8]{1,0:S(1)} add(%near, %near)
  %slice = f32[1,8]{1,0} fusion(%x, %i), kind=kLoop, calls=%one_row
  ROOT %result = f32[100,8]{1,0} fusion(%x, %slice, %i), kind=kLoop, calls=%put_row
}
"""  # noqa: E501


def test_types_and_memory_spaces():
  text = '(f32[2,3]{1,0:T(8,128)S(1)}, (bf16[], pred[7]{0}))'
  assert list(arrays(text)) == [
    Array('f32', (2, 3), 1),
    Array('bf16', ()),
    Array('pred', (7,)),
  ]
  assert [a.bytes for a in arrays(text)] == [24, 2, 7]


@pytest.mark.smoke
def test_a_loop_counts_as_often_as_it_runs():
  found = Module(LOOP).collectives()
  table = {(c.kind, c.group, c.times): c.bytes for c in found}
  # The loop's condition ends it at 5; both arrays of the tuple are sent.
  assert table == {
    ('all-reduce', 2, 5): 4 * 8 * 4,
    ('all-reduce', 8, 1): 4 * 8 * 4 + 16 * 2,
  }
  (inside,) = (c for c in found if c.times == 5)
  assert inside.op_name == 'jit(step)/norm/sum'


def test_a_known_trip_count_is_believed():
  known = 'body=%body, backend_config={"known_trip_count":{"n":"12"}}'
  found = Module(LOOP.replace('body=%body', known)).collectives()
  assert sorted(c.times for c in found) == [1, 12]


def test_started_and_fused_collectives_count_once():
  found = Module(ASYNC).collectives()
  rows = sorted((c.kind, c.group, c.times, c.bytes) for c in found)
  assert rows == [
    ('all-gather', 2, 1, 8 * 8 * 2),
    ('all-gather', 4, 1, 8 * 8 * 2),
    ('all-reduce', 4, 1, 16),
    ('collective-permute', 2, 1, 16),
  ]


def test_traffic_is_what_is_cut_out_and_put_in():
  # The copy reads 3,200 bytes (it writes near memory), the first fusion reads
  # and writes a row (and an index), the second reads a row twice, writes one.
  row, index = 8 * 4, 4
  expected = 3200 + (2 * row + index) + (row + row + index + row)
  assert Module(MEMORY).hbm_bytes() == expected
