#!/usr/bin/env bash
# What a machine with a GPU says of clue_ros, in about ten minutes: does it compute right there, and how fast.
#
#   scripts/gpu_check.sh              # results in out/gpu_check, to be sent in as out/gpu_check.tar.gz
#   scripts/gpu_check.sh --dry-run    # only what it would run
#   DEVICE=cuda:1 OUT=out/other MODEL=paligemma2-3b-mix-448 scripts/gpu_check.sh    # MODEL: a download as well
#
# Run it again after an interruption: steps that have ended are skipped (FRESH=1: none is). Needs `make setup` only.
# Exit code 0: all is right, 1: something differs, failed or is too slow, 130: interrupted.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

device="${DEVICE:-cuda}"
out="${OUT:-out/gpu_check}"
run="${GPU_CHECK_RUN:-scripts/run.sh}"  # tests give a stand-in
dry=0
case "${1:-}" in
  "") ;;
  --dry-run) dry=1 ;;
  *) sed -n '2,10p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
[ "${FRESH:-0}" = 0 ] || [ "$dry" = 1 ] || rm -rf "$out"
[ "$dry" = 1 ] || mkdir -p "$out"
trap 'exit 130' INT TERM
failed=0

# step NAME SECONDS COMMAND...: its output in NAME.log, its exit code in NAME.rc once it has ended by itself.
step() {
  local name="$1" seconds="$2" code
  shift 2
  if [ "$dry" = 1 ]; then
    printf '%-18s %4s s  ' "$name" "$seconds"
    printf '%q ' "$@"
    printf '\n'
    return
  fi
  if [ -f "$out/$name.rc" ]; then
    code="$(cat "$out/$name.rc")"
    echo "$name: done before, exit code $code"
  else
    echo "$name … (at most $seconds s)"
    timeout --kill-after=10 "$seconds" "$@" >"$out/$name.log" 2>&1
    code=$?
    # 0 and 1 are results; anything else is an accident, and the step is run again next time.
    if [ "$code" -le 1 ]; then echo "$code" >"$out/$name.rc"; fi
    echo "$name: exit code $code$([ "$code" = 124 ] && echo ', out of time')"
    tail -n 25 "$out/$name.log"
  fi
  [ "$code" = 0 ] || failed=1
}

step machine 60 "$run" python -c "import torch; print(torch.__version__, torch.version.cuda); d = torch.device('$device')
print(torch.cuda.get_device_properties(d), [round(b / 2**30, 1) for b in torch.cuda.mem_get_info(d)], 'GiB free, of all')"
step doctor_embedded 120 "$run" clue doctor --device "$device" --json "$out/doctor_embedded.json"
step doctor_3b 300 "$run" clue doctor --model 3b --device "$device" --json "$out/doctor_3b.json"
step bench_3b 240 "$run" clue bench --models 3b --device "$device" --dtype bfloat16 --rounds 10 \
  --rows box detection question --json "$out/bench_3b.json"
step goals 60 "$run" python -m clue_ros.lab.doctor.goals "$out/bench_3b.json"
step tests 180 "$run" python -m pytest test/core -k a_gpu_gives -q
if [ -n "${MODEL:-}" ]; then
  step doctor_model 240 "$run" clue doctor --model "$MODEL" --device "$device" --json "$out/doctor_model.json"
fi
[ "$dry" = 0 ] || exit 0
tar -czf "$out.tar.gz" -C "$(dirname "$out")" "$(basename "$out")" && echo "send this in: $out.tar.gz"
exit "$failed"
