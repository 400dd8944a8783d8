# ---- from here on all of these scripts are the same -------------------------------------------------------------------

# Since Slurm 22.05 srun does not take this over by itself.
[[ -z ${SLURM_CPUS_PER_TASK-} ]] || export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK

# The warning before the time is over (USR1) and the notice of a preemption (TERM) both reach dfal as USR1, upon which it keeps
# its finished work and ends with exit code 75. srun hands USR1 on; TERM would make it end the tasks without waiting for them.
signalled=no
pid=
trap 'signalled=yes; [[ -z $pid ]] || kill -USR1 "$pid" 2>/dev/null' USR1 TERM

job=$SLURM_JOB_ID
[[ -z ${SLURM_ARRAY_JOB_ID-} ]] || job=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID # the bare number is the whole array
restarts=${SLURM_RESTART_COUNT:-0}
echo "job $job, start $((restarts + 1)) on $SLURM_JOB_NODELIST: ${command[*]}"
# Open MPI names the memory that ranks of a node share after the number of their step, and what a killed start has left there
# would be taken for a rank's: each start has a step of another number.
if [[ " ${launcher[*]}" == *" --mpi="* ]]; then
    for ((start = 0; start < restarts; start++)); do srun --ntasks=1 true; done
fi
"${launcher[@]}" "${container[@]}" "${command[@]}" &
pid=$!
[[ $signalled == no ]] || kill -USR1 "$pid" # it came before there was anybody to tell
# A trapped signal ends wait, but not the command.
while
    signalled=no
    wait "$pid"
    code=$?
    [[ $signalled == yes ]]
do :; done
# srun may end well where it could not even launch the tasks: what they should have made is then not there.
made=
for ((word = 2; word < ${#command[@]}; word++)); do
    case ${command[word]} in
    -o | --output) made=${command[word + 1]-} ;;
    --output=*) made=${command[word]#--output=} ;;
    -o?*) made=${command[word]#-o} ;;
    --) break ;;
    esac
done
[[ -z $made || ${command[1]-} != run ]] || made=${made%/}/state/finished
if ((code == 0)) && [[ -n $made && ! -e $made ]]; then
    echo "job $job: the command was not run to its end, for $made is not there"
    code=75
fi
echo "job $job: exit code $code"

# 75: finished work is kept, the same line goes on from it. 137, 138 and 143: killed by KILL, USR1 or TERM, the last two before
# any work was finished.
case $code in
75 | 137 | 138 | 143) ;;
*) exit "$code" ;;
esac
# What was cancelled, or has used up its time, is no longer running.
state=$(squeue --noheader --jobs="$job" --format=%T)
if [[ $state != RUNNING ]]; then
    echo "job $job is ${state:-gone}: it is not started again"
elif ((restarts >= max_restarts)); then
    echo "job $job was started $((restarts + 1)) times, max_restarts=$max_restarts: it is not started again; sbatch continues it"
else
    trap - USR1 TERM
    scontrol requeue "$job" # ends this script
fi
exit "$code"
