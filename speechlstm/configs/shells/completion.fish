complete -c speechlstm -f -a '(speechlstm --complete fish (commandline -cp) 2>/dev/null)'
