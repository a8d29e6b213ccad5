#!/usr/bin/env bash
# Uploads results to Zenodo and leaves them as a draft, unless told to publish. See --help and docs/publishing.md.
set +o xtrace +o allexport # a trace would show the token, an export would hand it to every program
set -euo pipefail
mask=$(umask)
umask 077
export LC_ALL=C

readonly ARCHIVE=data/image_translation_outputs.tar.gz
readonly ARCHIVE_COMMAND="tar -czf $ARCHIVE --exclude=.partial -C data demo"
readonly STATE=data/.zenodo_draft.json
readonly MOST_FILES=100
readonly MOST_BYTES=50000000000

program=${0##*/}
here=$(cd "$(dirname "$0")" && pwd)
unset token # it may be a variable of the environment, which other programs would see
token=${ZENODO_TOKEN:-}
unset ZENODO_TOKEN

sandbox=no record='' draft='' meta=$here/meta.json publish=no dry_run=no keep_files=no fresh=no
stall=${ZENODO_STALL_SECONDS:-300}
retries=${ZENODO_RETRIES:-3}
server='' key=''
files=() names=() sums=() sizes=()          # what is given; names are encoded as in addresses
there_ids=() there_names=() there_sums=()   # what the draft holds
id='' bucket='' state='' page='' doi='' latest=''
status='' work='' child='' sum='' remembered='' cleared=false

help() {
    cat <<HELP
usage: $program [--sandbox] [--new-version-of RECORD_ID | --draft DRAFT_ID] [--meta FILE] [--publish]
       [--dry-run] [--keep-files] [--fresh] [FILE...]

Uploads files to Zenodo as a draft, to be looked at in the browser. The same command with --publish then publishes it.
Without FILE it uploads $ARCHIVE, made by
    $ARCHIVE_COMMAND

  --sandbox            use sandbox.zenodo.org, for trying out; it has accounts and tokens of its own
  --new-version-of ID  make a new version of the published record ID (the number at the end of its address)
  --draft ID           go on with this draft; none of its files are deleted
  --meta FILE          title, authors and so on (default: meta.json beside this script)
  --publish            publish it. This cannot be undone
  --dry-run            show what would be sent, and send nothing; needs no token
  --keep-files         let files stay that the draft holds beside the given ones, as those of the version before
  --fresh              forget the draft that a run before this one began, and begin another
  -h, --help           show this

A run that failed is repeated by the same command in the same directory: it goes on with the same draft, whose number
is in $STATE, and sends no file again that arrived whole.

environment:
  ZENODO_TOKEN          your token, with the scopes deposit:write and deposit:actions
  ZENODO_STALL_SECONDS  give up when nothing moves for so long (default 300)
  ZENODO_RETRIES        how often to try again by itself when the server is busy (default 3)
  ZENODO_URL            another server, for tests: https, or http on 127.0.0.1 or localhost

The last line on stdout is the address of the draft or of the record. The exit code is 0 when all is done, 1 when it
failed on the way, 2 when something was wrong before anything was sent, 130 when you stopped it.
HELP
}

say() {
    local text=$*
    if [[ -n $token ]]; then text=${text//"$token"/***}; fi
    printf '%s\n' "$text" >&2
}

wrong() { # what is wrong before anything is sent
    say "$program: $*"
    exit 2
}

fail() { # what went wrong on the way; what to do
    say "$program: $1"
    say "$2"
    exit 1
}

repeat() { # what to do next, in words
    if [[ -n $id ]]; then
        echo "Repeat the same command: it goes on with draft $id and sends nothing twice."
    else
        echo "Repeat the same command."
    fi
}

finish() {
    local code=$?
    trap - EXIT
    trap '' INT TERM HUP
    if [[ -n $child ]]; then
        kill "$child" 2>/dev/null || true
        wait "$child" 2>/dev/null || true
    fi
    if [[ -n $work ]]; then rm -rf "$work"; fi
    exit "$code"
}

interrupted() {
    say "$program: stopped. $(repeat)"
    exit "$1"
}

await() { # a background job, so that a signal need not wait for it
    local code=0
    child=$!
    wait "$child" || code=$?
    child=''
    return "$code"
}

# --- the arguments and what they name ---

value() { # OPTION COUNT: is there a value after it?
    if (($2 < 2)); then wrong "$1 needs a value; see --help"; fi
}

number() {
    if ! [[ $2 =~ ^[0-9]+$ ]]; then wrong "$1 $2: give the number at the end of its address, such as 1234567"; fi
}

read_arguments() {
    while (($#)); do
        case $1 in
            --sandbox) sandbox=yes ;;
            --new-version-of) value "$1" $# && number "$1" "$2" && record=$2 && shift ;;
            --draft) value "$1" $# && number "$1" "$2" && draft=$2 && shift ;;
            --meta) value "$1" $# && meta=$2 && shift ;;
            --publish) publish=yes ;;
            --dry-run) dry_run=yes ;;
            --keep-files) keep_files=yes ;;
            --fresh) fresh=yes ;;
            -h | --help) help && exit 0 ;;
            --) shift && break ;;
            -*) wrong "unknown option $1; see --help" ;;
            *) files+=("$1") ;;
        esac
        shift
    done
    if (($#)); then files+=("$@"); fi
    if [[ -n $draft && -n $record ]]; then wrong "--new-version-of makes a draft, --draft names one: give one"; fi
    if [[ -n $draft && $fresh == yes ]]; then wrong "--fresh begins another draft, --draft names one: give one"; fi
    local setting
    for setting in "ZENODO_STALL_SECONDS=$stall" "ZENODO_RETRIES=$retries"; do
        if ! [[ ${setting#*=} =~ ^[0-9]{1,6}$ ]]; then wrong "$setting: give a whole number"; fi
    done
    if ((10#$stall == 0)); then wrong "ZENODO_STALL_SECONDS=$stall: give at least 1"; fi
}

check_tools() {
    local tool missing=''
    for tool in curl jq; do
        if ! command -v "$tool" >/dev/null; then missing="$missing $tool"; fi
    done
    if ! command -v md5sum >/dev/null && ! command -v md5 >/dev/null; then missing="$missing md5sum"; fi
    if [[ -n $missing ]]; then
        wrong "not installed:$missing. Install it first (apt-get install curl jq coreutils; on macOS brew install jq)"
    fi
}

choose_server() {
    server=https://zenodo.org
    if [[ $sandbox == yes ]]; then server=https://sandbox.zenodo.org; fi
    if [[ -n ${ZENODO_URL:-} ]]; then server=${ZENODO_URL%/}; fi
    local secure='^https://[A-Za-z0-9.-]+(:[0-9]+)?$' local_only='^http://(127\.0\.0\.1|localhost)(:[0-9]+)?$'
    if ! [[ $server =~ $secure || $server =~ $local_only ]]; then
        wrong "ZENODO_URL=$server: give https://HOST or, on this machine only, http://127.0.0.1:PORT"
    fi
    key="$server"
    if [[ -n $record ]]; then key="$server new version of $record"; fi
}

check_token() {
    if [[ $dry_run == yes ]]; then return; fi
    if [[ -z $token ]]; then
        wrong "ZENODO_TOKEN is not set. Make a token with the scopes deposit:write and deposit:actions at" \
            "$server/account/settings/applications/tokens/new/ and type: export ZENODO_TOKEN=..."
    fi
    if ! [[ $token =~ ^[A-Za-z0-9._~+/=-]+$ ]]; then
        token=''
        wrong "ZENODO_TOKEN has characters that no token has, such as a space, a quote or a line break: copy it anew"
    fi
}

check_meta() {
    if ! [[ -f $meta && -r $meta ]]; then
        wrong "cannot read $meta, which holds the title, authors and so on; --meta names another"
    fi
    # The first line is what it lacks, the second what will be sent.
    if ! jq -rcs '
        ( if length != 1 then "one JSON object, not \(length)"
          elif .[0] | type != "object" then "an object around it"
          elif .[0].metadata | type != "object" then "metadata"
          else .[0].metadata |
            [ (("title", "upload_type", "description") as $field
                | select(.[$field] | type != "string" or test("^\\s*$")) | "metadata.\($field)"),
              (select(.creators | type != "array" or length == 0) | "metadata.creators"),
              (select(.creators | type == "array") | .creators | to_entries[]
                | select(.value | type != "object" or (.name | type != "string" or test("^\\s*$")))
                | "metadata.creators[\(.key)].name")
            ] | join(", ")
          end ),
        (.[0] | objects | {metadata})' <"$meta" >"$work/checked" 2>"$work/trouble"; then
        wrong "$meta is not valid JSON: $(head -n 1 "$work/trouble")"
    fi
    local lacks
    {
        read -r lacks
        cat >"$work/meta.json"
    } <"$work/checked"
    if [[ -n $lacks ]]; then wrong "$meta lacks $lacks; see docs/publishing.md"; fi
}

check_files() {
    if ((${#files[@]} == 0)); then
        if [[ ! -e $ARCHIVE ]]; then
            wrong "there is no $ARCHIVE. Name files, or make it by: $ARCHIVE_COMMAND" \
                "(demo stands for the directory of your results in data/)"
        fi
        files=("$ARCHIVE")
    fi
    local i j file total=0
    for ((i = 0; i < ${#files[@]}; i++)); do
        file=${files[i]}
        if [[ ! -e $file ]]; then wrong "there is no file $file"; fi
        if [[ -d $file ]]; then wrong "$file is a directory: pack it first, as by: $ARCHIVE_COMMAND"; fi
        if [[ ! -f $file ]]; then wrong "$file is not a file"; fi
        if [[ ! -r $file ]]; then wrong "$file may not be read by you"; fi
        if [[ ! -s $file ]]; then wrong "$file is empty"; fi
        if [[ ${file##*/} == *[[:cntrl:]]* ]]; then wrong "a file's name has control characters: rename it"; fi
        if [[ $file == -* ]]; then files[i]=./$file; fi # curl takes - for stdin
        sizes[i]=$(($(wc -c <"$file")))
        total=$((total + sizes[i]))
    done
    local encoded raw bare=()
    for file in "${files[@]}"; do bare+=("/${file##*/}"); done # the slash keeps jq from taking names for options
    jq -rn '$ARGS.positional[] | .[1:] | @uri, .' --args "${bare[@]}" >"$work/names"
    i=0
    while IFS= read -r encoded && IFS= read -r raw; do
        if [[ /$raw != "${bare[i]}" ]]; then wrong "${files[i]}: the name is not UTF-8; rename it"; fi
        for ((j = 0; j < i; j++)); do
            if [[ ${names[j]} == "$encoded" ]]; then
                wrong "${files[j]} and ${files[i]} would have the same name on Zenodo: rename one"
            fi
        done
        names+=("$encoded")
        i=$((i + 1))
    done <"$work/names"
    if ((${#files[@]} > MOST_FILES)); then
        say "note: Zenodo takes $MOST_FILES files a record, and these are ${#files[@]}"
    fi
    if ((total > MOST_BYTES)); then
        say "note: Zenodo takes 50 GB a record unless you ask for more, and this is $total bytes"
    fi
    for file in "${files[@]}"; do
        find_sum "$file"
        sums+=("$sum")
    done
}

find_sum() { # in $sum: a command substitution could not be interrupted
    if command -v md5sum >/dev/null; then
        md5sum <"$1" >"$work/sum" &
    else
        md5 -q <"$1" >"$work/sum" &
    fi
    if ! await; then wrong "$1 cannot be read"; fi
    read -r sum _ <"$work/sum"
}

# --- the draft that is remembered ---

read_state() { # which draft is remembered, and whether the files of the version before are gone from it
    # shellcheck disable=SC2016 # jq's variables
    local one='if type == "object" and all(.[]; .draft | type == "number") then .[$key] else error("spoilt") end
        | "\(.draft // "none") \(.cleared // false)"'
    if [[ -e $STATE ]]; then
        if ! jq -r --arg key "$key" "$one" "$STATE" >"$work/state" 2>/dev/null || [[ ! -s $work/state ]]; then
            wrong "$STATE, which remembers the drafts, is spoilt: delete it, and give --draft ID if there is a draft"
        fi
        read -r remembered cleared <"$work/state"
        if [[ $remembered == none ]]; then remembered=''; fi
    fi
    if [[ $dry_run == yes ]]; then return; fi
    if ! (umask "$mask" && mkdir -p "${STATE%/*}" && : >"$STATE.new") 2>/dev/null; then
        wrong "cannot write $STATE, which is to remember the draft"
    fi
    rm -f "$STATE.new"
}

change_state() { # jq's arguments
    local before=$STATE
    if [[ ! -e $STATE ]]; then before=$work/none && echo '{}' >"$before"; fi
    jq --arg key "$key" --arg server "$server" "$@" "$before" >"$STATE.new"
    mv -f "$STATE.new" "$STATE"
}

remember() { # DRAFT CLEARED
    if [[ -n $draft ]]; then return; fi
    cleared=$2
    # shellcheck disable=SC2016 # jq's variables
    change_state --argjson draft "$1" --argjson cleared "$2" '.[$key] = {draft: $draft, cleared: $cleared}'
}

forget() { # DRAFT
    if [[ ! -e $STATE ]]; then return; fi
    # shellcheck disable=SC2016 # jq's variables
    change_state --argjson draft "$1" \
        'with_entries(select(.value.draft != $draft or (.key | split(" ")[0]) != $server))'
}

# --- requests ---

request() { # METHOD ADDRESS [curl's arguments]: the answer lies in $work/answer, its status in $status
    local method=$1 address=$2 code=0 again=0 look=(--silent --show-error)
    shift 2
    if [[ $method != POST ]]; then again=$retries; fi # a POST that is repeated could make a second draft
    if [[ $method == PUT && $address == "$bucket"/* && -t 2 ]]; then
        look=(--progress-bar)
        rm -f "$work/trouble"
        exec 3>&2
    else
        exec 3>"$work/trouble"
    fi
    # No .curlrc, no redirects, no proxy for plain http: nothing else may learn the token, which comes by a pipe.
    local route=(--proto '=https')
    if [[ $server == http:* ]]; then route=(--proto '=http' --noproxy '*'); fi
    : >"$work/answer"
    printf 'header = "Authorization: Bearer %s"\n' "$token" |
        curl --disable --config - --globoff --max-redirs 0 "${route[@]}" "${look[@]}" \
            --connect-timeout 30 --speed-limit 1 --speed-time "$stall" --retry "$again" --retry-max-time 600 \
            --request "$method" --header 'Accept: application/json' "$@" \
            --output "$work/answer" --write-out '%{http_code}' "$address" >"$work/status" 2>&3 &
    await || code=$?
    exec 3>&-
    status=$(tail -c 3 "$work/status")
    if ((code)) && ! [[ $status =~ ^[345] ]]; then broken "$method" "$address" "$code"; fi
}

path_of() {
    local path=${1#"$server"}
    echo "${path%%\?*}"
}

broken() { # METHOD ADDRESS CODE: curl itself failed
    local why advice
    case $3 in
        5 | 6) why="the name of the server is not found; is there a network?" ;;
        7) why="no connection to the server; is there a network?" ;;
        18 | 52 | 55 | 56) why="the connection was lost" ;;
        26) why="a file cannot be read any more" ;;
        28) why="nothing moved for $stall seconds (ZENODO_STALL_SECONDS), or no connection came about" ;;
        35 | 51 | 58 | 60 | 77 | 83 | 91) why="no secure connection, because of a certificate or a proxy" ;;
        *) why="curl failed with code $3" ;;
    esac
    local detail
    detail=$(tail -n 1 "$work/trouble" 2>/dev/null | tr -d '\000-\037\177')
    advice=$(repeat)
    if [[ $1 == POST ]]; then advice="$advice $(lost_post "$2")"; fi
    fail "$1 $server$(path_of "$2"): $why${detail:+ [$detail]}" "$advice"
}

lost_post() { # ADDRESS: the server may have done it all the same
    if [[ -n $id ]]; then return; fi
    case $1 in
        */depositions) echo "If the server made a draft all the same, it is empty: see $server/me/uploads" ;;
        */newversion) echo "If that is refused, go on with the draft at $server/me/uploads by --draft ID." ;;
    esac
}

message_of_answer() {
    if ! jq -er '
        if type != "object" then empty else
            [ (.message | strings),
              (.errors | arrays | .[] | objects
                | "\(.field // "?"): \([.messages // .message // empty] | flatten | map(tostring) | join(" "))")
            ] | select(length > 0) | join(" ") | .[:600]
        end' <"$work/answer" 2>/dev/null; then
        sed -e 's/<[^>]*>//g' -e 's/^[[:space:]]*//' <"$work/answer" | tr -d '\000-\010\013-\037\177' |
            awk 'NF { print substr($0, 1, 300); exit }'
    fi
}

demand() { # METHOD ADDRESS [curl's arguments]: a request that must succeed
    request "$@"
    if ! [[ $status =~ ^2 ]]; then refused "$1" "$2"; fi
}

refused() { # METHOD ADDRESS
    local why advice message
    advice=$(repeat)
    case $status in
        3*) why="it redirects, and the token is not sent elsewhere" advice="Is $server the right server?" ;;
        400)
            why="the server does not accept it"
            advice="Mend what it says, in $meta or in the browser. $advice"
            if [[ $2 == */newversion ]]; then
                advice="There may be an unpublished draft of a new version of record $record already: look at"
                advice="$advice $server/me/uploads, delete it there, or go on with it by --draft ID."
            fi
            ;;
        401)
            why="the token is not accepted"
            advice="Is ZENODO_TOKEN of this server, $server, and valid still? $advice"
            ;;
        403)
            why="this is not allowed"
            advice="Is it yours, and has the token the scopes deposit:write and deposit:actions? $advice"
            ;;
        404 | 410) why="there is no such thing" advice="Are the server, $server, and the number right? $advice" ;;
        413) why="too large" advice="Zenodo takes 50 GB a record, unless you ask for more: split the files or ask." ;;
        429) why="too many requests" advice="Wait a minute. $advice" ;;
        5*)
            why="the server is in trouble" advice="Wait. $advice"
            if [[ $1 == POST ]]; then advice="$advice $(lost_post "$2")"; fi
            ;;
        *) why="not what was expected" ;;
    esac
    message=$(message_of_answer | tr -d '\000-\037\177')
    fail "$1 $(path_of "$2") answered $status, $why${message:+: $message}" "$advice"
}

strange() { # METHOD ADDRESS WHAT
    local advice
    advice=$(repeat)
    if [[ $1 == POST ]]; then advice="$advice $(lost_post "$2")"; fi
    fail "$1 $(path_of "$2") answered $status, but $3" "$advice"
}

own_link() { # METHOD ADDRESS NAME LINK: the link, if it stays on the server; the token goes nowhere else
    case $4 in
        "$server"/*) echo "$4" ;;
        //*) strange "$1" "$2" "links.$3 leads to another host, $4: the token is not sent there" ;;
        /*) echo "$server$4" ;;
        '') strange "$1" "$2" "it lacks links.$3" ;;
        *) strange "$1" "$2" "links.$3 leads to another host, $4: the token is not sent there" ;;
    esac
}

read_deposition() { # METHOD ADDRESS: of the answer
    if ! jq -r '
        def line: if type == "string" or type == "number" then tostring | gsub("[^!-~]"; "") else "" end;
        if type != "object" then error("no object") else . end
        | (.links | objects // {}) as $links
        | (.id, $links.bucket, $links.html, $links.latest_draft,
            ([.doi, .metadata.prereserve_doi.doi?] | map(strings | select(. != ""))[0]) | line),
          (if .submitted == true or (.state // "unsubmitted") != "unsubmitted" then "published" else "draft" end),
          ((.files // [])[]
            | [(.checksum // "-" | ltrimstr("md5:")), (.id | tostring | @uri), (.filename | @uri)] | join(" "))
        ' <"$work/answer" >"$work/fields" 2>/dev/null; then
        strange "$1" "$2" "not as JSON that is understood: $(message_of_answer | head -c 200)"
    fi
    local before=$id checksum file name
    there_ids=() there_names=() there_sums=()
    {
        read -r id && read -r bucket && read -r page && read -r latest && read -r doi && read -r state || id=''
        while read -r checksum file name; do
            there_sums+=("$checksum") there_ids+=("$file") there_names+=("$name")
        done
    } <"$work/fields"
    if ! [[ $id =~ ^[0-9]+$ ]]; then
        id=$before
        strange "$1" "$2" "it lacks an id"
    fi
    case $page in "$server"/*) ;; *) page=$server/uploads/$id ;; esac
}

read_draft() { # METHOD ADDRESS: an answer that must be a draft to which files can be sent
    read_deposition "$1" "$2"
    bucket=$(own_link "$1" "$2" bucket "$bucket")
}

deposition() { echo "$server/api/deposit/depositions/$1"; }

# --- the steps ---

sum_there() { # NAME: what the draft says of it
    local i
    for ((i = 0; i < ${#there_names[@]}; i++)); do
        if [[ ${there_names[i]} == "$1" ]]; then echo "${there_sums[i]}"; fi
    done
}

is_given() {
    local name
    for name in "${names[@]}"; do
        if [[ $name == "$1" ]]; then return 0; fi
    done
    return 1
}

differences() { # between what is given and what the draft holds
    local i other
    for ((i = 0; i < ${#names[@]}; i++)); do
        other=$(sum_there "${names[i]}")
        if [[ -z $other ]]; then
            echo "it lacks ${names[i]}."
        elif [[ $other != "${sums[i]}" ]]; then
            echo "${names[i]} has the MD5 $other there, and ${sums[i]} here."
        fi
    done
    if [[ -n $draft || $keep_files == yes ]]; then return; fi
    for ((i = 0; i < ${#there_names[@]}; i++)); do
        if ! is_given "${there_names[i]}"; then echo "it also holds ${there_names[i]}."; fi
    done
}

already_published() {
    if [[ -n $(differences) ]]; then return 1; fi
    say "draft $id is published already, with these files"
    forget "$id"
    announce_record
    exit 0
}

announce_record() {
    case $page in */deposit/* | */uploads/*) page=$server/records/$id ;; esac
    if [[ -n $doi ]]; then say "DOI: $doi"; fi
    echo "$page"
}

find_draft() {
    local old=$remembered address=$server/api/deposit/depositions
    if [[ -n $draft ]]; then
        demand GET "$(deposition "$draft")"
        read_deposition GET "$(deposition "$draft")"
        if [[ $state == published ]]; then
            already_published ||
                fail "$draft is published, and its files can no longer be changed" \
                    "Make a new version: --new-version-of $draft"
        fi
        read_draft GET "$(deposition "$draft")"
        return
    fi
    if [[ $fresh == yes && -n $old ]]; then
        forget "$old"
        old=''
    fi
    if [[ -n $old ]]; then
        id=$old # so that an error says with which draft it goes on
        request GET "$(deposition "$old")"
        case $status in
            404 | 410) say "draft $old, which was begun before, is gone: beginning another" ;;
            2*)
                read_deposition GET "$(deposition "$old")"
                if [[ $state == draft ]]; then
                    read_draft GET "$(deposition "$old")"
                    say "going on with draft $id, which was begun before (--fresh begins another)"
                    return
                fi
                already_published || say "draft $old, which was begun before, is published: beginning another"
                ;;
            *) refused GET "$(deposition "$old")" ;;
        esac
        forget "$old"
        id=''
    fi
    if [[ -n $record ]]; then
        new_version
    else
        demand POST "$address" --header 'Content-Type: application/json' --data '{}'
        read_deposition POST "$address"
        remember "$id" true
        read_draft POST "$address"
    fi
    say "began draft $id"
}

new_version() {
    local address
    address=$(deposition "$record")/actions/newversion
    demand POST "$address" --header 'Content-Type:' --data ''
    read_deposition POST "$address"
    if [[ $id == "$record" || $state != draft ]]; then # the answer is the old record, with a link to the new draft
        id=''
        latest=$(own_link POST "$address" latest_draft "$latest")
        if ! [[ ${latest##*/} =~ ^[0-9]+$ ]] || [[ ${latest##*/} == "$record" ]]; then
            strange POST "$address" "it names no draft of a new version"
        fi
        id=${latest##*/}
        remember "$id" false
        demand GET "$latest"
        read_draft GET "$latest"
        if [[ $state != draft ]]; then strange GET "$latest" "it is published already"; fi
    else
        remember "$id" false
        read_draft POST "$address"
    fi
}

clear_inherited() {
    if [[ -z $record || $keep_files == yes || $cleared == true ]]; then return; fi
    local i address
    for ((i = 0; i < ${#there_names[@]}; i++)); do
        if is_given "${there_names[i]}"; then continue; fi
        say "deleting ${there_names[i]} of the version before"
        address=$(deposition "$id")/files/${there_ids[i]}
        request DELETE "$address"
        if ! [[ $status =~ ^2 || $status == 404 ]]; then refused DELETE "$address"; fi # 404: an answer was lost before
    done
    remember "$id" true
}

send_metadata() {
    local address errors count='if type == "object" then .errors // [] | length else error("no object") end'
    address=$(deposition "$id")
    demand PUT "$address" --header 'Content-Type: application/json' --data-binary "@$work/meta.json"
    if ! errors=$(jq -r "$count" <"$work/answer" 2>/dev/null) || [[ -z $errors ]]; then
        strange PUT "$address" "not as JSON that is understood: $(message_of_answer | head -c 200)"
    fi
    if [[ $errors != 0 ]]; then strange PUT "$address" "it does not accept all of $meta: $(message_of_answer)"; fi
}

send_files() {
    local i answered
    for ((i = 0; i < ${#files[@]}; i++)); do
        if [[ $(sum_there "${names[i]}") == "${sums[i]}" ]]; then
            say "${files[i]}: there already"
            continue
        fi
        say "${files[i]}: sending ${sizes[i]} bytes"
        demand PUT "$bucket/${names[i]}" --header 'Content-Type: application/octet-stream' --upload-file "${files[i]}"
        answered=$(jq -r '.checksum // "" | tostring | gsub("[^!-~]"; "")' <"$work/answer" 2>/dev/null) || answered=''
        if [[ -z $answered ]]; then strange PUT "$bucket/${names[i]}" "it lacks a checksum"; fi
        if [[ ${answered#md5:} != "${sums[i]}" ]]; then
            fail "${files[i]} did not arrive whole: its MD5 is ${sums[i]}, and the server has ${answered#md5:}" \
                "Was the file changed meanwhile? $(repeat)"
        fi
    done
}

publish_draft() {
    local address differ own=$id
    address=$(deposition "$id")
    demand GET "$address"
    read_draft GET "$address"
    differ=$(differences | tr '\n' ' ')
    if [[ $id != "$own" || -n $differ ]]; then
        fail "draft $own is not published, because it differs from the given files: $differ" \
            "Look at $page. Delete there what does not belong to it, or give --keep-files. $(repeat)"
    fi
    demand POST "$address/actions/publish" --header 'Content-Type:' --data ''
    read_deposition POST "$address/actions/publish"
    if [[ $id != "$own" ]]; then id=$own && strange POST "$address/actions/publish" "it is of another draft"; fi
    forget "$id"
    say "published"
}

show_plan() {
    local i old=$remembered place=ID
    if [[ $fresh == yes ]]; then old=''; fi
    old=${draft:-$old}
    echo "server: $server"
    if [[ -n $old ]]; then
        place=$old
        echo "GET /api/deposit/depositions/$old: go on with this draft"
    elif [[ -n $record ]]; then
        echo "POST /api/deposit/depositions/$record/actions/newversion: a draft, whose ID the server gives"
    else
        echo "POST /api/deposit/depositions: a draft, whose ID the server gives"
    fi
    if [[ -n $record && $keep_files == no ]]; then
        echo "DELETE /api/deposit/depositions/$place/files/...: files of the version before with other names than these"
    fi
    echo "PUT /api/deposit/depositions/$place: $meta"
    jq . <"$work/meta.json"
    for ((i = 0; i < ${#files[@]}; i++)); do
        echo "PUT BUCKET/${names[i]}: ${files[i]}, ${sizes[i]} bytes, MD5 ${sums[i]}, unless it is there already"
    done
    if [[ $publish == yes ]]; then
        echo "POST /api/deposit/depositions/$place/actions/publish"
    else
        echo "not published: it stays a draft without --publish"
    fi
    say "nothing was sent"
}

main() {
    read_arguments "$@"
    check_tools
    choose_server
    check_token
    trap finish EXIT
    trap 'interrupted 130' INT
    trap 'interrupted 143' TERM
    trap 'interrupted 129' HUP
    work=$(mktemp -d "${TMPDIR:-/tmp}/upload_zenodo.XXXXXX")
    check_meta
    check_files
    read_state
    if [[ $dry_run == yes ]]; then
        show_plan
        return
    fi
    find_draft
    clear_inherited
    send_metadata
    send_files
    if [[ $publish == yes ]]; then
        publish_draft
        announce_record
    else
        say "it is a draft: look at it in the browser; the same command with --publish publishes it"
        if [[ -n $doi ]]; then say "its DOI will be $doi"; fi
        echo "$page"
    fi
}

main "$@"
