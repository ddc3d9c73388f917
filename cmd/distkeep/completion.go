package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// shells write the completions of each shell. All of them find out which command is
// being written by the words before, and offer its commands, or its options. What
// stands behind an option is a file or a directory, as its help says, or nothing that
// a shell knows.
var shells = map[string]func(w io.Writer, pages []page){"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion}

// words is the command of p as the completions spell it: each word behind a blank.
func (p *page) words() string {
	var b strings.Builder
	for _, w := range p.path {
		b.WriteString(" " + w)
	}
	return b.String()
}

// single puts a text between single quotes, for bash and zsh.
func single(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// patterns are the commands but for the program, quoted, with sep between them.
func patterns(pages []page, sep string) string {
	var all []string
	for _, p := range pages[1:] {
		all = append(all, single(p.words()))
	}
	return strings.Join(all, sep)
}

// options are those of p that can be completed.
func (p *page) options() (os []option) {
	for _, f := range sortFlags(p.flags) {
		if o, ok := optionOf(f); ok {
			os = append(os, o)
		}
	}
	return os
}

// A kind is what stands behind an option.
func (o *option) kind() string {
	switch o.value {
	case "DIR":
		return "directory"
	case "FILE", "PATH":
		return "file"
	}
	return ""
}

func bashCompletion(w io.Writer, pages []page) {
	kinds := make(map[string][]string)
	for _, p := range pages {
		for _, o := range p.options() {
			for _, n := range o.names {
				if o.takesValue && !slices.Contains(kinds[o.kind()], dashed(n)) {
					kinds[o.kind()] = append(kinds[o.kind()], dashed(n))
				}
			}
		}
	}
	fmt.Fprintf(w, `# bash completion for distkeep

_distkeep() {
	local cur=${COMP_WORDS[COMP_CWORD]} command= words= i
	for ((i = 1; i < COMP_CWORD; i++)); do
		case "$command ${COMP_WORDS[i]}" in
		%s) command+=" ${COMP_WORDS[i]}" ;;
		esac
	done
	COMPREPLY=()
	case ${COMP_WORDS[COMP_CWORD-1]} in
	%s) mapfile -t COMPREPLY < <(compgen -d -- "$cur"); return ;;
	%s) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
	%s) return ;;
	esac
	case $command in
`, patterns(pages, "|"), strings.Join(kinds["directory"], "|"), strings.Join(kinds["file"], "|"), strings.Join(kinds[""], "|"))
	for _, p := range pages {
		var words []string
		for _, c := range p.below {
			words = append(words, c.Name)
		}
		for _, o := range p.options() {
			for _, n := range o.names {
				words = append(words, dashed(n))
			}
		}
		fmt.Fprintf(w, "\t%s) words=%s ;;\n", single(p.words()), single(strings.Join(words, " ")))
	}
	fmt.Fprint(w, `	esac
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}
complete -o bashdefault -o default -F _distkeep distkeep
`)
}

func zshCompletion(w io.Writer, pages []page) {
	// Inside the brackets of _arguments, and behind the colon of _describe.
	plain := strings.NewReplacer(`\`, `\\`, "[", `\[`, "]", `\]`, ":", `\:`)
	fmt.Fprintf(w, `#compdef distkeep

_distkeep() {
	local command=
	local -i i
	local -a below
	for ((i = 2; i < CURRENT; i++)); do
		case "$command $words[i]" in
		(%s) command+=" $words[i]" ;;
		esac
	done
	case $command in
`, patterns(pages, "|"))
	for _, p := range pages {
		fmt.Fprintf(w, "\t(%s)\n", single(p.words()))
		if len(p.below) > 0 {
			fmt.Fprint(w, "\t\tbelow=(\n")
			for _, c := range p.below {
				fmt.Fprintf(w, "\t\t\t%s\n", single(c.Name+":"+plain.Replace(c.Usage)))
			}
			fmt.Fprint(w, "\t\t)\n\t\t_describe -t commands command below\n")
		}
		fmt.Fprint(w, "\t\t_arguments")
		for _, o := range p.options() {
			for _, n := range o.names {
				spec := "*" + dashed(n) + "[" + plain.Replace(o.text) + "]"
				if o.takesValue {
					spec += ":" + plain.Replace(o.value) + ":" + map[string]string{"directory": "_directories", "file": "_files"}[o.kind()]
				}
				fmt.Fprintf(w, " \\\n\t\t\t%s", single(spec))
			}
		}
		if len(p.below) == 0 {
			fmt.Fprint(w, " \\\n\t\t\t'*:file:_files'")
		}
		fmt.Fprint(w, "\n\t\t;;\n")
	}
	fmt.Fprint(w, "\tesac\n}\n\n_distkeep \"$@\"\n")
}

func fishCompletion(w io.Writer, pages []page) {
	quoted := func(s string) string { return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) + "'" }
	fmt.Fprintf(w, `# fish completion for distkeep

function __distkeep_at
	set -l command ''
	for word in (commandline -opc)[2..]
		switch "$command $word"
			case %s
				set command "$command $word"
		end
	end
	test "$command" = "$argv[1]"
end

complete -c distkeep -f
`, patterns(pages, " "))
	for _, p := range pages {
		at := quoted("__distkeep_at " + quoted(p.words()))
		for _, c := range p.below {
			fmt.Fprintf(w, "complete -c distkeep -n %s -a %s -d %s\n", at, c.Name, quoted(c.Usage))
		}
		for _, o := range p.options() {
			for _, n := range o.names {
				fmt.Fprintf(w, "complete -c distkeep -n %s %s -d %s", at, map[bool]string{true: "-s ", false: "-l "}[len(n) == 1]+n, quoted(o.text))
				switch {
				case o.kind() == "directory":
					fmt.Fprint(w, " -x -a '(__fish_complete_directories)'")
				case o.kind() == "file":
					fmt.Fprint(w, " -r -F")
				case o.takesValue:
					fmt.Fprint(w, " -x")
				}
				fmt.Fprintln(w)
			}
		}
	}
}
