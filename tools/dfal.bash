# SPDX-License-Identifier: Apache-2.0
# Completion of the dfal command for bash; printed by `dfal --help-completion`.
_dfal() {
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command="" i
  local commands="synth import info doctor train eval logits score merge select run status verify bench report"
  for ((i = 1; i < COMP_CWORD; i++)); do
    [[ " $commands " == *" ${COMP_WORDS[i]} "* ]] && { command=${COMP_WORDS[i]}; break; }
  done
  case $before in
    --isa) COMPREPLY=($(compgen -W "auto avx2 avx512" -- "$word")); return ;;
    --log-format) COMPREPLY=($(compgen -W "text json" -- "$word")); return ;;
  esac
  local options=" --backend --isa --threads --memory --seed --force --allow-mixed --config --set --print-config --json --log-format --quiet --verbose --help --version"
  case $command in
  synth)
    options+=" --output --count --class-count --size --split"
    case $before in
    --split) COMPREPLY=($(compgen -W "train test" -- "$word")); return ;;
    esac ;;
  import)
    options+=" --output"
    case $before in
    esac ;;
  info)
    options+=""
    case $before in
    esac ;;
  doctor)
    options+=""
    case $before in
    esac ;;
  train)
    options+=" --net --output --init --epochs --batch --optimizer --lr --subset --restarts --patience --validation --labels --samples-name --labels-name --layout --hdf5-plugins"
    case $before in
    --optimizer) COMPREPLY=($(compgen -W "adam sgd" -- "$word")); return ;;
    --layout) COMPREPLY=($(compgen -W "NCHW NHWC" -- "$word")); return ;;
    esac ;;
  eval)
    options+=" --labels --samples-name --labels-name --layout --hdf5-plugins"
    case $before in
    --layout) COMPREPLY=($(compgen -W "NCHW NHWC" -- "$word")); return ;;
    esac ;;
  logits)
    options+=" --output --node --labels --samples-name --labels-name --layout --hdf5-plugins"
    case $before in
    --layout) COMPREPLY=($(compgen -W "NCHW NHWC" -- "$word")); return ;;
    esac ;;
  score)
    options+=" --output --deepfool --norm --max-iter --overshoot --classes --unconverged --batch --refine --precision --engine --range --shard --adversarial --units --labels --samples-name --labels-name --layout --hdf5-plugins"
    case $before in
    --deepfool) COMPREPLY=($(compgen -W "lts4 paper dfal2018 foolbox deepal" -- "$word")); return ;;
    --unconverged) COMPREPLY=($(compgen -W "last keep exclude" -- "$word")); return ;;
    --refine) COMPREPLY=($(compgen -W "bisect" -- "$word")); return ;;
    --precision) COMPREPLY=($(compgen -W "strict" -- "$word")); return ;;
    --engine) COMPREPLY=($(compgen -W "auto layers" -- "$word")); return ;;
    --units) COMPREPLY=($(compgen -W "network raw" -- "$word")); return ;;
    --layout) COMPREPLY=($(compgen -W "NCHW NHWC" -- "$word")); return ;;
    esac ;;
  merge)
    options+=" --output"
    case $before in
    esac ;;
  select)
    options+=" --strategy --count --output --scores --subsample --twins --deepfool --norm --max-iter --overshoot --classes --unconverged --batch --labels --samples-name --labels-name --layout --hdf5-plugins"
    case $before in
    --deepfool) COMPREPLY=($(compgen -W "lts4 paper dfal2018 foolbox deepal" -- "$word")); return ;;
    --unconverged) COMPREPLY=($(compgen -W "last keep exclude" -- "$word")); return ;;
    --layout) COMPREPLY=($(compgen -W "NCHW NHWC" -- "$word")); return ;;
    esac ;;
  run)
    options+=" --output --preset --train --test --resume"
    case $before in
    esac ;;
  status)
    options+=""
    case $before in
    esac ;;
  verify)
    options+=" --samples --labels --samples-name --labels-name --layout --hdf5-plugins"
    case $before in
    --layout) COMPREPLY=($(compgen -W "NCHW NHWC" -- "$word")); return ;;
    esac ;;
  bench)
    options+=" --samples --repeat --deepfool --norm --max-iter --overshoot --classes --unconverged --batch --labels --samples-name --labels-name --layout --hdf5-plugins"
    case $before in
    --deepfool) COMPREPLY=($(compgen -W "lts4 paper dfal2018 foolbox deepal" -- "$word")); return ;;
    --unconverged) COMPREPLY=($(compgen -W "last keep exclude" -- "$word")); return ;;
    --layout) COMPREPLY=($(compgen -W "NCHW NHWC" -- "$word")); return ;;
    esac ;;
  report)
    options+=" --output"
    case $before in
    esac ;;
  "")
    [[ $word == -* ]] || { COMPREPLY=($(compgen -W "$commands" -- "$word")); return; } ;;
  esac
  if [[ $word == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$word"))
  else
    COMPREPLY=($(compgen -f -- "$word"))
  fi
}
complete -o filenames -F _dfal dfal
