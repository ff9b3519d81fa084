# Runs redis-server and ends it when the gateway is gone.
# Arguments: seconds between SIGTERM and SIGKILL, then the command and its arguments.
#
# The gateway holds the other end of stdin and never writes. However it dies, the kernel closes that end, and
# the reader below wakes. A background job gets /dev/null as stdin, hence descriptor 3.
exec 3<&0 </dev/null

# A SIGTERM to every process of a service must not end the guard before the one it guards.
trap '' HUP INT TERM

kill_after_s=$1
shift

(
    trap - HUP INT TERM
    exec "$@" 3<&-
) &
redis=$!

(
    while read -r _ <&3; do :; done
    waited_s=0
    # Redis puts a shutdown off when it cannot write, so it is asked again.
    while [ "$waited_s" -lt "$kill_after_s" ] && kill -TERM "$redis" 2>/dev/null; do
        sleep 1
        waited_s=$((waited_s + 1))
    done
    kill -KILL "$redis" 2>/dev/null
) &
reader=$!
exec 3<&-

wait "$redis"
status=$?
kill -KILL "$reader" 2>/dev/null
exit "$status"
