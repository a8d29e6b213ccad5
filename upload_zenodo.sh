#!/usr/bin/env bash
# Upload files to a draft on Zenodo, and publish it on request. See --help and docs/publishing.md.
set +xa # tracing would print the token, and an export would pass it to every program
set -euo pipefail
export LC_ALL=C

readonly ARCHIVE=data/image_translation_outputs.tar.gz
readonly PLACEHOLDER='the image_translation contributors' # the creator in the meta.json that comes with this script
readonly PACK="tar -czf $ARCHIVE --exclude=.partial -C data demo"

program=${0##*/}
declare +x token=${ZENODO_TOKEN:-}
unset ZENODO_TOKEN
stall=${ZENODO_STALL_SECONDS:-300}

server=https://zenodo.org meta=${0%"$program"}meta.json meta_given=no record='' publish=no dry_run=no keep_files=no
id=''                          # number of the draft
state=''                       # file in which it is stored
inherits=no                    # whether the draft may contain files of the previous version
files=() names=() checksums=() # files to upload, their URL-encoded names and their MD5 checksums
last_request='' status=''      # the last request, and the HTTP status of its response

help() {
    cat <<HELP
usage: $program [--sandbox] [--new-version-of RECORD_ID | --draft DRAFT_ID] [--meta FILE] [--publish]
       [--keep-files] [--dry-run] [FILE...]

Upload files to a draft on Zenodo, to be checked in the browser. The same command with --publish then publishes it.
Without FILE, it uploads $ARCHIVE, which is created by
    $PACK

  --sandbox            use sandbox.zenodo.org, for tests; it has separate accounts and tokens
  --new-version-of ID  create a new version of the published record ID (the number at the end of its URL)
  --draft ID           continue with this draft of yours; none of its files are deleted
  --meta FILE          title, authors and so on (default: meta.json beside this script, with your names as creators)
  --publish            publish it. This cannot be undone
  --keep-files         keep other files of the draft, such as those of the previous version
  --dry-run            show what would be sent, and send nothing; needs no token
  -h, --help           show this help

To resume after an error, repeat the same command in the same directory: it continues with the same draft, whose number
is stored in data/.zenodo_draft-*, and does not send complete files again. Delete that file to create another draft.

environment:
  ZENODO_TOKEN          your token, with the scopes deposit:write and deposit:actions
  ZENODO_STALL_SECONDS  abort when no data is transferred for this time (default 300)
  ZENODO_URL            another server, for tests: https, or http on 127.0.0.1 or localhost

The last line on stdout is the URL of the draft or of the record. The exit code is 0 on success, 1 if a request failed or
the run was interrupted, 2 for wrong usage, before anything is sent.
HELP
}

say() { # print to stderr, without the token and without control characters, which a response may contain
    local text=${*//"$token"/***}
    printf '%s\n' "${text//[[:cntrl:]]/ }" >&2
}

wrong() { # report wrong usage, before anything is sent
    say "$program: $*"
    exit 2
}

fail() { # report an error, and what to do next
    say "$program: $*"
    if [[ -n $id ]]; then
        say "Fix the problem and repeat the same command: it continues with draft $id and sends no file twice."
    else
        say "Fix the problem and repeat the same command. If a draft was created nevertheless, it is listed at" \
            "$server/me/uploads: delete it there, or give --draft and its number instead of --new-version-of."
    fi
    exit 1
}

# --- arguments ---

read_arguments() {
    while (($#)); do
        case $1 in
            --sandbox) server=https://sandbox.zenodo.org ;;
            --new-version-of | --draft)
                [[ ${2:-} =~ ^[0-9]+$ ]] || wrong "$1 needs the number at the end of a URL, such as 1234567"
                if [[ $1 == --draft ]]; then id=$2; else record=$2; fi
                shift
                ;;
            --meta)
                [[ -n ${2:-} ]] || wrong "$1 needs the path of a file"
                meta=$2 meta_given=yes
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
    [[ -z $id || -z $record ]] || wrong "--new-version-of creates a draft, --draft continues one: give only one of them"
    ((${#files[@]})) || files=("$ARCHIVE")
}

# --- checks before anything is sent ---

check_tools() {
    local tool
    for tool in curl jq; do
        command -v "$tool" >/dev/null || wrong "$tool is not installed: install it first"
    done
}

check_server() { # the token must not be sent unencrypted
    server=${ZENODO_URL:-$server}
    [[ $server =~ ^(https://[A-Za-z0-9.-]+|http://(127\.0\.0\.1|localhost))(:[0-9]+)?$ ]] ||
        wrong "ZENODO_URL=$server: give https://HOST or, on this machine only, http://127.0.0.1:PORT"
}

check_token() { # a quote or a line break would corrupt the configuration that passes it to curl
    [[ $dry_run == yes || $token =~ ^[A-Za-z0-9._~+/=-]+$ ]] ||
        wrong "ZENODO_TOKEN is not set, or it is not a token. Create one with the scopes deposit:write and" \
            "deposit:actions at $server/account/settings/applications/tokens/new/ and type: export ZENODO_TOKEN=..."
}

check_meta() { # the server validates the other fields
    jq -e --slurp '.[0] | {metadata} | select(.metadata
        | .title and .upload_type and .description and .creators[0].name)' "$meta" >"$work/meta.json" ||
        wrong "$meta must be JSON with metadata: title, upload_type, description, and creators with a name each;" \
            "see docs/publishing.md"
    if [[ $meta_given == no ]] && jq -e --arg name "$PLACEHOLDER" '.metadata.creators[0].name == $name' "$work/meta.json"; then
        wrong "$meta still has the creator '$PLACEHOLDER': put in the names of those who made the data, and your title" \
            "(see docs/publishing.md), or publish it as it is with --meta $meta"
    fi >/dev/null
}

check_files() {
    local file name checksum
    for file in "${files[@]}"; do
        [[ -f $file && -r $file && -s $file ]] ||
            wrong "$file does not exist, is empty, is a directory, or is not readable. To pack results:" \
                "$PACK (replace demo with the directory of your results in data/)"
        name=$(jq -rn --arg name "${file##*/}" '$name | @uri')
        checksum=$(md5_of "$file")
        [[ " ${names[*]-} " != *" $name "* ]] || wrong "two of the files are named ${file##*/}: rename one"
        names+=("$name")
        checksums+=("$checksum")
    done
}

md5_of() { # macOS has md5
    if command -v md5sum >/dev/null; then md5sum; else md5 -r; fi <"$1" | cut -d ' ' -f 1
}

read_state() { # find the draft of an earlier run, unless --draft is given
    if [[ -n $id ]]; then return; fi
    state=data/.zenodo_draft-${server#*//}${record:+-$record}
    if [[ ! -s $state ]]; then return; fi
    read -r id inherits <"$state" || true
    [[ $id =~ ^[0-9]+$ ]] || wrong "$state, which stores the number of the draft, is corrupt: delete it, or give --draft"
    say "continuing with draft $id (to create another, delete $state)"
}

# --- requests ---

request() { # METHOD URL [arguments of curl]: the response is in $work/response; any status but 2xx is an error
    last_request="$1 ${2#"$server"}"
    : >"$work/response"
    # The token is passed by a pipe. --disable ignores .curlrc; redirects are not followed.
    status=$(printf 'header = "Authorization: Bearer %s"\n' "$token" |
        curl --disable --config - --silent --show-error --globoff --noproxy 127.0.0.1,localhost \
            --connect-timeout 30 --speed-limit 1 --speed-time "$stall" \
            --request "$1" --header 'Accept: application/json' "${@:3}" \
            --output "$work/response" --write-out '%{http_code}' "$2") ||
        [[ $status == [345]* ]] || fail "$last_request: no complete response from $server"
    case $status in
        2*) ;;
        401 | 403)
            fail "$last_request answered $status: $(message) Is ZENODO_TOKEN a token for $server, with the scopes" \
                "deposit:write and deposit:actions?"
            ;;
        *) fail "$last_request answered $status: $(message)" ;;
    esac
}

message() { # extract the message of the response: from JSON with a message and errors, or from HTML without its tags
    jq -Rrs '. as $page
        | [fromjson? | objects | .message, (.errors[]? | .field + ":", .message, .messages[]?)] | map(strings)
        | if . == [] then $page | gsub("<[^>]*>"; " ") else join(" ") end
        | gsub("\\s+"; " ") | ltrimstr(" ") | rtrimstr(" ") | .[:500]' "$work/response"
}

field() { # PATH: print a required field of the response; --slurp, because jq accepts an empty response
    jq -er --slurp ".[0] | $1" "$work/response" 2>/dev/null || fail "$last_request answered $status, but without $1: $(message)"
}

# --- steps ---

create_draft() { # its number is stored at once, so that the next run can continue with it
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
    say "created draft $id"
}

read_draft() { # its files are listed in $work/uploaded: MD5, name, id
    request GET "$depositions/$id"
    field .id >/dev/null # check that it is a draft
    jq -r '.files[]? | "\(.checksum // "-" | ltrimstr("md5:")) \(.filename | @uri) \(.id | tostring | @uri)"' \
        "$work/response" >"$work/uploaded"
}

is_uploaded() { # INDEX: whether the draft has this file, with the same checksum
    grep -qF "${checksums[$1]} ${names[$1]} " "$work/uploaded"
}

missing() { # list the given files that are not in the draft, or differ
    local i
    for i in "${!files[@]}"; do
        is_uploaded "$i" || echo "${files[i]}"
    done
}

extra() { # list name and id of the other files of the draft
    local name file_id
    while read -r _ name file_id; do
        [[ " ${names[*]} " == *" $name "* ]] || echo "$name $file_id"
    done <"$work/uploaded"
}

stop_if_published() { # for instance, because the response to publishing was lost
    local published
    published=$(field '.submitted // false | tostring')
    if [[ $published == false ]]; then return; fi
    if [[ -z $(missing) && ($keep_files == yes || -z $(extra)) ]]; then
        say "draft $id is already published, with these files"
        end_published
        exit
    fi
    say "$program: $id is published, and its files cannot be changed. Give --new-version-of $id," \
        "or, for another record, ${state:+delete $state and }omit --draft."
    exit 1
}

delete_inherited() {
    if [[ $inherits == no || $keep_files == yes ]]; then return; fi
    local name file_id
    extra >"$work/extra"
    while read -r name file_id; do
        say "deleting $name of the previous version from the draft"
        request DELETE "$depositions/$id/files/$file_id"
    done <"$work/extra"
    echo "$id no" >"$state" # files added later in the browser are kept
}

send_metadata() { # the server may respond with 200 and list the rejected fields
    request PUT "$depositions/$id" --header 'Content-Type: application/json' --data-binary "@$work/meta.json"
    field .id >/dev/null
    local errors
    errors=$(field '.errors // [] | length')
    ((errors == 0)) || fail "the server rejected fields of $meta: $(message)"
}

send_files() {
    local i checksum options
    for i in "${!files[@]}"; do
        if is_uploaded "$i"; then
            say "${files[i]}: already uploaded"
            continue
        fi
        say "${files[i]}: uploading"
        options=(--upload-file "${files[i]}")
        if [[ -t 2 ]]; then options+=(--no-silent --progress-bar); fi
        request PUT "$bucket/${names[i]}" "${options[@]}"
        checksum=$(field .checksum)
        [[ ${checksum#md5:} == "${checksums[i]}" ]] ||
            fail "${files[i]} was corrupted in transfer: its MD5 is ${checksums[i]}, that on the server is ${checksum#md5:}"
    done
}

publish_draft() { # if it still contains these files and no others
    local lacks more doi
    read_draft
    lacks=$(missing)
    more=$(extra | cut -d ' ' -f 1)
    [[ -z $lacks ]] || fail "not published: the draft lacks $lacks"
    [[ -z $more || $keep_files == yes ]] ||
        fail "not published: the draft also contains $more. Delete it at $server/uploads/$id, or give" \
            "--keep-files."
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
        echo "draft: $id, of an earlier run"
    else
        echo "draft: a new one${record:+, a new version of $record}"
    fi
    echo "metadata: $meta"
    cat "$work/meta.json"
    for i in "${!files[@]}"; do
        echo "file: ${files[i]}, MD5 ${checksums[i]}, unless it is already uploaded"
    done
    if [[ -n $record && $keep_files == no ]]; then echo "deleted: files of the previous version with other names"; fi
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
    trap 'fail interrupted' INT
    check_meta
    check_files
    read_state
    if [[ $dry_run == yes ]]; then
        show_plan
        return
    fi

    depositions=$server/api/deposit/depositions
    if [[ -z $id ]]; then create_draft; fi
    read_draft
    stop_if_published
    bucket=$(field .links.bucket)
    [[ $bucket == "$server"/* ]] || fail "$last_request returned a URL of another host, $bucket: the token is not sent there"
    delete_inherited
    send_metadata
    send_files
    if [[ $publish == yes ]]; then
        publish_draft
    else
        say "the draft is complete: check it in the browser; the same command with --publish publishes it"
        echo "$server/uploads/$id"
    fi
}

main "$@"
