#compdef speechlstm
_speechlstm() {
    local -a open closed
    local reply
    for reply in "${(@f)$(speechlstm --complete zsh "$LBUFFER" 2>/dev/null)}"; do
        [[ -z $reply ]] && continue
        if [[ $reply == *[=/.] ]]; then open+=("$reply"); else closed+=("$reply"); fi
    done
    compadd -S '' -- $open
    compadd -- $closed
}
compdef _speechlstm speechlstm
