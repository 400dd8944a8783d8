# SPDX-License-Identifier: Apache-2.0
# The longest tests, roughly in seconds: ctest begins with them, so that no CPU is idle while the last one runs. Behind a first
# run it goes by the times of the run before.
function(df_test_costs seconds)
  foreach(name ${ARGN})
    if(TEST ${name})
      set_tests_properties(${name} PROPERTIES COST ${seconds})
    endif()
  endforeach()
endfunction()
df_test_costs(60 strategies_golden_cpu)
df_test_costs(20 cli_files cli_selecting cli_results cli_benching cli_transfer cli_import cli_outputs score_torture train_job
  arrays layer_ops cli_ranks_refusals cli_ranks_spread)
df_test_costs(10 deepfool_loop slurm_short cli_usage cli_labels cli_classes cli_images cli_submit cli_changing cli_presets
  cli_variants cli_closest cli_kills_score cli_kills_import_idx cli_images_kills cli_strategy_command_answers
  cli_strategy_command_experiment cli_strategy_command_refusals cli_trainer_arguments cli_trainer_kills cli_benching_limits
  cli_budget_memory cli_ranks_experiments coreset score install store_torture)
