# What an editor's remote session feeds to a shell at the other end: it starts the editor's server there, unless one runs
# from an earlier time, says where that listens, and stays to answer.
#
#     FOLDER=… PROGRAM=… (set in front of this)

if ! kill -0 "$(cat "$FOLDER/pid" 2> /dev/null)" 2> /dev/null; then
    mkdir -p "$FOLDER"
    nohup python3 "$PROGRAM" "$FOLDER" < /dev/null > "$FOLDER/log" 2>&1 &
    echo $! > "$FOLDER/pid"
    echo started
fi
tries=0
while test ! -s "$FOLDER/ready" && test $tries -lt 600; do
    tries=$((tries + 1))
    sleep 0.1
done
echo "$(uname) begins"
cat "$FOLDER/ready"
echo ends
while read -r beat; do
    echo "$beat"
done
