"""Tests of which the quick run takes a part, by the time that they took.

What compiles many models, or starts a command for each sentence, shows much
with its first case already. `pytest -m slow` has the others.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest

# One case of so many is quick, the first at least.
_EVERY = 6
# File below tests: names of tests with cases.
SOME = {
  'commands/test_cli': (
    'test_evaluate_tells_what_it_needs',
    'test_help_shows_examples',
    'test_slips_are_told_in_a_sentence',
  ),
  'commands/test_own_parts': ('test_mistakes_are_told',),
  'commands/test_predict': ('test_slips_are_told',),
  'compress/test_channels': (
    'test_without_silent_channels_the_logits_are_the_same',
  ),
  'compress/test_training': ('test_every_product_with_a_kernel_is_rounded',),
  'decode/test_attention': ('test_rows_do_not_see_each_other_or_padding',),
  'decode/test_decoder': (
    'test_a_wide_beam_with_a_model_finds_the_best_of_all_labellings',
  ),
  'engine/export/test_trace': (
    'test_lengths_are_divided_without_remainders',
    'test_recurrent_layers_are_scans',
  ),
  'engine/test_adapt': ('test_default_adapters_are_behind_every_branch',),
  'engine/test_checkpoint': ('test_a_missing_or_short_file',),
  'engine/test_optimizer': ('test_optax_default_decay_does_not_apply',),
  'engine/test_transfer': ('test_bad_specs_are_told',),
  'experiments/test_report': ('test_broken_workdirs_end_in_a_sentence',),
  'features/test_extract': ('test_jax_computes_what_numpy_does',),
  'launch/test_command': ('test_errors_are_a_sentence',),
  'launch/test_local': ('test_stopped_half_way_and_rerun',),
  'losses/test_transducer': (
    'test_chunks_give_the_gradient_of_whole_scores',
    'test_losses_and_gradients_are_those_of_all_alignments',
  ),
  'models/image/test_architectures': (
    'test_auxiliary_heads_answer_in_training_alone',
    'test_multiply_adds_are_the_published_ones',
    'test_parameter_counts',
    'test_small_image_variants',
  ),
  'models/image/test_import_torch': (
    'test_foreign_names_and_shapes_are_named',
  ),
  'models/image/test_models': (
    'test_activation_is_a_switch',
    'test_batch_position_and_padding_rows_do_not_matter',
    'test_bfloat16_is_close_to_float32',
    'test_cifar_resnet_has_the_papers_parameter_count',
    'test_dropout_draws_from_its_stream_in_training_only',
    'test_resnet_has_torchvisions_parameter_count',
    'test_zero_init_makes_residual_branches_start_as_nothing',
  ),
  'models/image/test_stages': (
    'test_every_variable_is_in_one_stage',
    'test_options_keep_the_stages_whole',
  ),
  'models/layers/test_attention': (
    'test_frames_that_do_not_count_change_nothing',
  ),
  'models/layers/test_conv': ('test_cpu_forms_equal_xlas_convolution',),
  'models/layers/test_dense': (
    'test_dense_has_the_parameters_and_outputs_of_flax',
    'test_no_gradient_of_a_model_is_a_sum_in_bfloat16',
    'test_the_bias_gradient_is_not_rounded_to_bfloat16',
  ),
  'models/layers/test_depthwise2d': ('test_values_and_gradients',),
  'models/layers/test_norm': ('test_masked_gradients_equal_two_pass_autodiff',),
  'models/layers/test_pool': ('test_overlapping_and_partial_windows',),
  'models/layers/test_remat': ('test_the_step_is_the_same',),
  'models/layers/test_rnn': (
    'test_bfloat16_products_keep_states_in_float32',
    'test_devices_that_share_a_batch_learn_what_one_learns',
    'test_outputs_and_gradients_are_those_of_a_plain_loop',
    'test_padding_and_what_stands_in_it_change_nothing',
  ),
  'models/speech/test_attention': (
    'test_neither_padding_nor_later_symbols_nor_rows_change_a_symbol',
    'test_steps_give_the_logits_of_the_whole_pass',
  ),
  'models/speech/test_conformer': (
    'test_padding_changes_nothing',
    'test_sizes_are_near_table_1_of_the_paper',
  ),
  'models/speech/test_rnn': ('test_padding_changes_nothing',),
  'models/speech/test_streaming': (
    'test_conformer',
    'test_recurrent',
    'test_transformer',
  ),
  'models/speech/test_subsample': (
    'test_lookahead_is_the_last_input_that_counts',
    'test_padding_does_not_reach_frames_that_count',
  ),
  'models/speech/test_transducer': ('test_steps_give_what_the_whole_gives',),
  'models/speech/test_transformer': ('test_padding_changes_nothing',),
  'models/speech/test_wav2vec2': ('test_it_computes_what_is_stored',),
  'report/test_figures': ('test_confusion_matrix',),
  'tasks/classification/test_medical': (
    'test_other_losses_are_ranked_too',
    'test_two_classes_are_a_test_for_one',
  ),
  'tasks/classification/test_target_threshold': (
    'test_labels_count_above_the_threshold',
  ),
}


def thin(items: Iterable[Any]) -> None:
  """Marks cases as slow; those that are slow already do not count."""
  seen: Counter[str] = Counter()
  for item in items:
    file, _, rest = item.nodeid.partition('.py::')
    name = rest.partition('[')[0]
    if name not in SOME.get(file.removeprefix('tests/'), ()):
      continue
    if item.get_closest_marker('slow') is not None:
      continue
    number = seen[f'{file}::{name}']
    seen[f'{file}::{name}'] += 1
    if number % _EVERY:
      item.add_marker(pytest.mark.slow)
