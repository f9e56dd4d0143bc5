#compdef speechlstm
_speechlstm() {
    local -a open closed
    local reply line
    # Not $LBUFFER, which begins with what stands before this command; QIPREFIX is an open quote of the last word.
    line="${(j: :)words[1,CURRENT-1]} $IPREFIX$QIPREFIX$PREFIX"
    for reply in "${(@f)$(speechlstm --complete zsh "$line" 2>/dev/null)}"; do
        [[ -z $reply ]] && continue
        if [[ $reply == *[=/.] ]]; then open+=("$reply"); else closed+=("$reply"); fi
    done
    compadd -S '' -- $open
    compadd -- $closed
}
compdef _speechlstm speechlstm
