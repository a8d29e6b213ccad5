#!/usr/bin/env bash
# Uploads files to Zenodo as a draft, and publishes it when told to. See --help and docs/publishing.md.
set +xa # a trace would show the token, an export would hand it to every program
set -euo pipefail
export LC_ALL=C

readonly ARCHIVE=data/image_translation_outputs.tar.gz
readonly PACK="tar -czf $ARCHIVE --exclude=.partial -C data demo"

program=${0##*/}
declare +x token=${ZENODO_TOKEN:-}
unset ZENODO_TOKEN
stall=${ZENODO_STALL_SECONDS:-300}

server=https://zenodo.org meta=${0%"$program"}meta.json record='' publish=no dry_run=no keep_files=no
id=''                     # the draft's number
state=''                  # the file in which it is noted
inherits=no               # whether the draft may hold files of the version before
files=() names=() sums=() # what is given; the names are encoded as in addresses
asked='' status=''        # the last request, and how it was answered

help() {
    cat <<HELP
usage: $program [--sandbox] [--new-version-of RECORD_ID | --draft DRAFT_ID] [--meta FILE] [--publish]
       [--keep-files] [--dry-run] [FILE...]

Uploads files to Zenodo as a draft, to be looked at in the browser. The same command with --publish then publishes it.
Without FILE it uploads $ARCHIVE, made by
    $PACK

  --sandbox            use sandbox.zenodo.org, for trying out; it has accounts and tokens of its own
  --new-version-of ID  make a new version of the published record ID (the number at the end of its address)
  --draft ID           go on with this draft of yours; none of its files are deleted
  --meta FILE          title, authors and so on (default: meta.json beside this script)
  --publish            publish it. This cannot be undone
  --keep-files         let files stay that the draft holds beside the given ones, as those of the version before
  --dry-run            show what would be sent, and send nothing; needs no token
  -h, --help           show this

A run that failed is repeated by the same command in the same directory: it goes on with the same draft, whose number
it noted in data/.zenodo_draft-*, and sends no file again that arrived whole. Delete that note to begin another draft.

environment:
  ZENODO_TOKEN          your token, with the scopes deposit:write and deposit:actions
  ZENODO_STALL_SECONDS  give up when nothing moves for so long (default 300)
  ZENODO_URL            another server, for tests: https, or http on 127.0.0.1 or localhost

The last line on stdout is the address of the draft or of the record. The exit code is 0 when all is done, 1 when it
failed on the way or was stopped, 2 when something was wrong before anything was sent.
HELP
}

say() { # to the person; the server's words may hold anything
    local text=${*//"$token"/***}
    printf '%s\n' "${text//[[:cntrl:]]/ }" >&2
}

wrong() { # what is wrong before anything is sent
    say "$program: $*"
    exit 2
}

fail() { # what went wrong on the way, and what to do next
    say "$program: $*"
    if [[ -n $id ]]; then
        say "When that is put right, repeat the same command: it goes on with draft $id and sends no file twice."
    else
        say "When that is put right, repeat the same command. If a draft was made all the same, it is at" \
            "$server/me/uploads: delete it there, or give --draft and its number in place of --new-version-of."
    fi
    exit 1
}

# --- arguments ---

read_arguments() {
    while (($#)); do
        case $1 in
            --sandbox) server=https://sandbox.zenodo.org ;;
            --new-version-of | --draft)
                [[ ${2:-} =~ ^[0-9]+$ ]] || wrong "$1 needs the number at the end of an address, such as 1234567"
                if [[ $1 == --draft ]]; then id=$2; else record=$2; fi
                shift
                ;;
            --meta)
                [[ -n ${2:-} ]] || wrong "$1 needs the name of a file"
                meta=$2
                shift
                ;;
            --publish) publish=yes ;;
            --keep-files) keep_files=yes ;;
            --dry-run) dry_run=yes ;;
            -h | --help)
                help
                exit
                ;;
            --)
                shift
                files+=("$@")
                break
                ;;
            -*) wrong "unknown option $1; see --help" ;;
            *) files+=("$1") ;;
        esac
        shift
    done
    [[ -z $id || -z $record ]] || wrong "--new-version-of makes a draft, --draft names one: give one of them"
    ((${#files[@]})) || files=("$ARCHIVE")
}

# --- checks before anything is sent ---

check_tools() {
    local tool
    for tool in curl jq; do
        command -v "$tool" >/dev/null || wrong "$tool is not installed: install it first"
    done
}

check_server() { # the token must not travel in the open
    server=${ZENODO_URL:-$server}
    [[ $server =~ ^(https://[A-Za-z0-9.-]+|http://(127\.0\.0\.1|localhost))(:[0-9]+)?$ ]] ||
        wrong "ZENODO_URL=$server: give https://HOST or, on this machine only, http://127.0.0.1:PORT"
}

check_token() { # a quote or a line break would end the line that hands it to curl
    [[ $dry_run == yes || $token =~ ^[A-Za-z0-9._~+/=-]+$ ]] ||
        wrong "ZENODO_TOKEN is not set, or it is not a token. Make one with the scopes deposit:write and" \
            "deposit:actions at $server/account/settings/applications/tokens/new/ and type: export ZENODO_TOKEN=..."
}

check_meta() { # the server looks at the rest
    jq -e --slurp '.[0] | {metadata} | select(.metadata
        | .title and .upload_type and .description and .creators[0].name)' "$meta" >"$work/meta.json" ||
        wrong "$meta must be JSON with metadata: title, upload_type, description, and creators with a name each;" \
            "see docs/publishing.md"
}

check_files() {
    local file name sum
    for file in "${files[@]}"; do
        [[ -f $file && -r $file && -s $file ]] ||
            wrong "$file is not there, or it is empty, a directory, or not yours to read. Results are packed by:" \
                "$PACK (demo stands for the directory of your results in data/)"
        name=$(jq -rn --arg name "${file##*/}" '$name | @uri')
        sum=$(md5_of "$file")
        [[ " ${names[*]-} " != *" $name "* ]] || wrong "two of the files are called ${file##*/}: rename one"
        names+=("$name")
        sums+=("$sum")
    done
}

md5_of() { # macOS has md5
    if command -v md5sum >/dev/null; then md5sum; else md5 -r; fi <"$1" | cut -d ' ' -f 1
}

read_state() { # which draft a run before this one began; not asked when --draft says it
    if [[ -n $id ]]; then return; fi
    state=data/.zenodo_draft-${server#*//}${record:+-$record}
    if [[ ! -s $state ]]; then return; fi
    read -r id inherits <"$state" || true
    [[ $id =~ ^[0-9]+$ ]] || wrong "$state, which notes the draft, is spoilt: delete it, or give --draft"
    say "going on with draft $id (to begin another, delete $state)"
}

# --- requests ---

request() { # METHOD ADDRESS [curl's arguments]: the answer is in $work/answer; any but 2xx ends the run
    asked="$1 ${2#"$server"}"
    : >"$work/answer"
    # The token comes by a pipe. --disable leaves out .curlrc; redirects are not followed.
    status=$(printf 'header = "Authorization: Bearer %s"\n' "$token" |
        curl --disable --config - --silent --show-error --globoff --noproxy 127.0.0.1,localhost \
            --connect-timeout 30 --speed-limit 1 --speed-time "$stall" \
            --request "$1" --header 'Accept: application/json' "${@:3}" \
            --output "$work/answer" --write-out '%{http_code}' "$2") ||
        [[ $status == [345]* ]] || fail "$asked: no whole answer came from $server"
    case $status in
        2*) ;;
        401 | 403)
            fail "$asked answered $status: $(message) Is ZENODO_TOKEN a token of $server, and has it the scopes" \
                "deposit:write and deposit:actions?"
            ;;
        *) fail "$asked answered $status: $(message)" ;;
    esac
}

message() { # what the answer says: JSON with a message and errors, or a page without its tags
    jq -Rrs '. as $page
        | [fromjson? | objects | .message, (.errors[]? | .field + ":", .message, .messages[]?)] | map(strings)
        | if . == [] then $page | gsub("<[^>]*>"; " ") else join(" ") end
        | gsub("\\s+"; " ") | ltrimstr(" ") | rtrimstr(" ") | .[:500]' "$work/answer"
}

field() { # PATH: a field that the answer must have; --slurp, because jq takes an empty answer for a good one
    jq -er --slurp ".[0] | $1" "$work/answer" 2>/dev/null || fail "$asked answered $status, but without $1: $(message)"
}

# --- steps ---

begin_draft() { # its number is noted at once, so that the next run goes on with it
    mkdir -p "${state%/*}"
    touch "$state"
    if [[ -n $record ]]; then
        request POST "$depositions/$record/actions/newversion"
        id=$(field .links.latest_draft)
        id=${id##*/}
        inherits=yes
    else
        request POST "$depositions" --header 'Content-Type: application/json' --data '{}'
        id=$(field .id)
    fi
    echo "$id $inherits" >"$state"
    say "began draft $id"
}

read_draft() { # what it holds is in $work/there: MD5, name, id
    request GET "$depositions/$id"
    field .id >/dev/null # it is a draft indeed
    jq -r '.files[]? | "\(.checksum // "-" | ltrimstr("md5:")) \(.filename | @uri) \(.id | tostring | @uri)"' \
        "$work/answer" >"$work/there"
}

arrived() { # INDEX: is this file in the draft, as it is here?
    grep -qF "${sums[$1]} ${names[$1]} " "$work/there"
}

missing() { # the given files that are not in the draft, or not as they are here
    local i
    for i in "${!files[@]}"; do
        arrived "$i" || echo "${files[i]}"
    done
}

extra() { # name and id of the files that are in the draft beside the given ones
    local name file_id
    while read -r _ name file_id; do
        [[ " ${names[*]} " == *" $name "* ]] || echo "$name $file_id"
    done <"$work/there"
}

stop_if_published() { # as when the answer to publishing was lost
    local published
    published=$(field '.submitted // false | tostring')
    if [[ $published == false ]]; then return; fi
    if [[ -z $(missing) && ($keep_files == yes || -z $(extra)) ]]; then
        say "draft $id is published already, with these files"
        end_published
        exit
    fi
    say "$program: $id is published, and its files can no longer be changed. Give --new-version-of $id," \
        "or for another record ${state:+delete $state and }leave out --draft."
    exit 1
}

delete_inherited() {
    if [[ $inherits == no || $keep_files == yes ]]; then return; fi
    local name file_id
    extra >"$work/extra"
    while read -r name file_id; do
        say "deleting $name of the version before from the draft"
        request DELETE "$depositions/$id/files/$file_id"
    done <"$work/extra"
    echo "$id no" >"$state" # what is added in the browser later on stays
}

send_metadata() { # the server may answer 200 and say in the content what it left out
    request PUT "$depositions/$id" --header 'Content-Type: application/json' --data-binary "@$work/meta.json"
    field .id >/dev/null
    local errors
    errors=$(field '.errors // [] | length')
    ((errors == 0)) || fail "the server does not accept all of $meta: $(message)"
}

send_files() {
    local i sum options
    for i in "${!files[@]}"; do
        if arrived "$i"; then
            say "${files[i]}: there already"
            continue
        fi
        say "${files[i]}: sending"
        options=(--upload-file "${files[i]}")
        if [[ -t 2 ]]; then options+=(--no-silent --progress-bar); fi
        request PUT "$bucket/${names[i]}" "${options[@]}"
        sum=$(field .checksum)
        [[ ${sum#md5:} == "${sums[i]}" ]] ||
            fail "${files[i]} did not arrive whole: its MD5 is ${sums[i]}, and the server has ${sum#md5:}"
    done
}

publish_draft() { # if it still holds these files and no others
    local lacks more doi
    read_draft
    lacks=$(missing)
    more=$(extra | cut -d ' ' -f 1)
    [[ -z $lacks ]] || fail "not published: the draft lacks $lacks"
    [[ -z $more || $keep_files == yes ]] ||
        fail "not published: the draft also holds $more. If it does not belong there, delete it at" \
            "$server/uploads/$id, else give --keep-files."
    request POST "$depositions/$id/actions/publish"
    doi=$(field .doi)
    say "published with the DOI $doi"
    end_published
}

end_published() {
    rm -f ${state:+"$state"}
    echo "$server/records/$id"
}

show_plan() {
    local i
    echo "server: $server"
    if [[ -n $id ]]; then
        echo "draft: $id, begun before"
    else
        echo "draft: a new one${record:+, a new version of $record}"
    fi
    echo "metadata: $meta"
    cat "$work/meta.json"
    for i in "${!files[@]}"; do
        echo "file: ${files[i]}, MD5 ${sums[i]}, unless it is there already"
    done
    if [[ -n $record && $keep_files == no ]]; then echo "deleted: files of the version before with other names"; fi
    echo "published: $publish"
    say "nothing was sent"
}

main() {
    read_arguments "$@"
    check_tools
    check_server
    check_token
    work=$(mktemp -d "${TMPDIR:-/tmp}/upload_zenodo.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    trap 'fail stopped' INT
    check_meta
    check_files
    read_state
    if [[ $dry_run == yes ]]; then
        show_plan
        return
    fi

    depositions=$server/api/deposit/depositions
    if [[ -z $id ]]; then begin_draft; fi
    read_draft
    stop_if_published
    bucket=$(field .links.bucket)
    [[ $bucket == "$server"/* ]] || fail "$asked leads to another host, $bucket: the token is not sent there"
    delete_inherited
    send_metadata
    send_files
    if [[ $publish == yes ]]; then
        publish_draft
    else
        say "it is a draft: look at it in the browser; the same command with --publish publishes it"
        echo "$server/uploads/$id"
    fi
}

main "$@"
