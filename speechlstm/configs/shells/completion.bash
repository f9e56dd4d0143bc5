_speechlstm() {
    local word cut
    word="${COMP_LINE:0:COMP_POINT}"; word="${word##*[[:space:]]}"
    cut="${word%"${word##*[=:]}"}"  # bash takes = and : for ends of words
    COMPREPLY=()
    while IFS= read -r reply; do COMPREPLY+=("${reply#"$cut"}"); done \
        < <(speechlstm --complete bash "${COMP_LINE:0:COMP_POINT}" 2>/dev/null)
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=/.] ]]; then compopt -o nospace; fi
}
complete -F _speechlstm speechlstm
