# A process that has a file open as descriptor 5, and has read a line of it.
sh -c 'exec 5</etc/passwd; read line <&5; sleep 60 <&5 >/dev/null 2>&1 & echo $! > pid'
restorer dump "$(cat pid)" --images images
kill "$(cat pid)"

restorer show images
restorer check images --new-pids
restorer plan images --new-pids --svg > plan.svg
restorer restore images --new-pids --hold > restored

# "81 is 4711": the process 81 of the images is 4711 here.
pid=$(sed 's/.* is //' restored)
grep pos "/proc/$pid/fdinfo/5"
kill "$pid"
