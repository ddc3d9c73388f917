SRC_URI="https://example.org/${PN}/${P}.tar.gz -> ${PN^}-${PV}.tar.gz"
#--
MY_PV=${PV/_rc/-rc}
MY_P="${PN}-${MY_PV}"
if [[ ${PV} == *9999* ]]; then
	EGIT_REPO_URI="https://example.org/${PN}.git"
else
	SRC_URI="https://example.org/v${MY_PV}/${MY_P}.tar.xz"
	KEYWORDS="~amd64"
fi
#--
case ${PV} in
	9999) ;;
	*_alpha*|*_beta*|*_rc*) SRC_URI="pre/${P/_/}" ;;
	*) SRC_URI="release/${P}" ;;
esac
#--
MY_PN=${PN//-/_}
SRC_URI="${MY_PN^^} ${MY_PN,,} ${MY_PN^} ${PN::1} ${PN:0:3} ${PN: -3} ${PN:4} ${#PN} ${PV%%_*} ${PV##*_} ${PV%.*} ${PV#*.}"
#--
for lang in de fr "pt br"; do
	SRC_URI+=" l10n_${lang}? ( https://e.org/${lang}.zip )"
done
#--
LANGS=( de fr )
LANGS+=( ru )
SRC_URI="${LANGS[*]} ${LANGS[@]/#/l10n_} ${#LANGS[@]} ${LANGS[1]} ${LANGS[-1]} ${!LANGS[@]}"
#--
declare -A HASHES=(
	[amd64]="aaa"
	[arm64]=bbb
)
HASHES[x86]=ccc
SRC_URI="${HASHES[amd64]}"
for arch in amd64 arm64; do SRC_URI+=" ${arch}? ( ${HASHES[$arch]} ${HASHES["${arch}"]} )"; done
#--
get() { local v=${1}; shift; echo "${v}/$*"; }
SRC_URI="$(get a b c) $(get "${PN}") `get x y`"
#--
_set_uris() {
	local name uri
	for name in one two; do
		uri="https://e.org/${name}"
		SRC_URI+=" ${uri} -> ${name}.zip"
	done
}
_set_uris
#--
IFS=. read -r major minor patch <<< "${PV}"
SRC_URI="${major}/${minor}/${patch}"
#--
VER=( ${PV//[._]/ } )
SRC_URI="${VER[0]}.${VER[1]} ${VER[*]:0:2} ${VER[@]:1}"
#--
[[ ${PV} =~ ^([0-9]+)\.([0-9]+) ]] && SRC_URI="${BASH_REMATCH[1]}-${BASH_REMATCH[2]}"
#--
: ${FOO:=bar}
: "${FOO:=baz}"
SRC_URI="${FOO} ${UNSET-} ${UNSET:-default} ${FOO:+set} ${UNSET+set}"
#--
if has test foo test; then SRC_URI=yes; else SRC_URI=no; fi
#--
[[ -n ${PV} && ${PN} != bar || -z ${PV} ]] && SRC_URI=ok
#--
i=0
while (( i < 3 )); do SRC_URI+=" $((i * 2))"; (( i++ )); done
#--
for ((i = 1; i <= 3; i++)); do SRC_URI+=" part${i}"; done
#--
printf -v PATCH "%02d" 7
SRC_URI="patch-${PATCH} $(printf '%s-' a b c)"
#--
SRC_URI="a{1..3} "
for x in p{1..3} {a,b}.{c,d}; do SRC_URI+=" ${x}"; done
#--
SRC_URI='single $quoted' 
SRC_URI+=" \$x \\ \" $'tab\there'"
#--
var=PV
SRC_URI="${!var}"
#--
SRC_URI="
	https://e.org/a
	b? ( https://e.org/b )
"
SRC_URI=${SRC_URI//$'\n'/ }
#--
f() { return 3; }
f || SRC_URI="failed $?"
#--
SRC_URI=$(for x in a b; do echo $x; done)
#--
while read -r a b; do SRC_URI+=" ${b}/${a}"; done <<< "1 2
3 4 5
"
#--
x="a  b	c"
set -- $x
SRC_URI="$# $1 $2 $3 ${*}"
#--
if [ "${PR}" = "r5" ]; then SRC_URI=r5; elif true; then SRC_URI=other; fi
#--
COMMIT="0123456789abcdef"
SRC_URI="https://e.org/${COMMIT:0:7}/${COMMIT::12}.tar.gz -> ${P}-${COMMIT:0:7}.tar.gz"
#--
local_test() { local -a arr=( "$@" ); local s="${arr[*]}"; SRC_URI="${s// /,}"; }
local_test a "b c" d
#--
export A=1 B="${PV}"
readonly C=3
declare -r D=4
declare -g E=5
SRC_URI="$A$B$C$D$E"
#--
DESCRIPTION="Gödel, Escher, Bach"
SRC_URI="ok"
#--
! false && SRC_URI="negated"
#--
SRC_URI="a"; { SRC_URI+="b"; }; ( SRC_URI+="c" )
#--
x=${PV%_*}; y=${x##*.}; SRC_URI="${x%.${y}} ${PV/${y}/Y}"
#--
until [[ ${n:-0} -ge 2 ]]; do n=$(( ${n:-0} + 1 )); SRC_URI+=$n; done
#--
SRC_URI="mirror://${PN:0:1}/${PN}_${PV//./-}.orig.tar.gz ${PV//[^0-9]} ${PV//[0-9]/N} ${PN//o} ${PN/%bar/baz} ${PN/#foo/fu}"
#--
declare -r -A DEPS=(
	[pixman-0.3.0-LClMnz2VAAAs7QSCGwLimV5VUYx0JFnX5xWU6HwtMuDX.tar.gz]='https://codeberg.org/ifreund/zig-pixman/archive/v0.3.0.tar.gz'
	[wayland-0.6.0-lQa1kqz8AQADQmdNJsNhLoNHcnEGEUjrOaPV-dtEnEmX.tar.gz]='https://codeberg.org/ifreund/zig-wayland/archive/v0.6.0.tar.gz'
	[h3-quinn]='https://github.com/hyperium/h3;e07e;h3-%commit%/h3-quinn'
	[nucleo]='a[b-c]=d'
	[fcft-2.0.0-zcx6C5EaAADIEaQzDg5D4UvFFMjSEwDE38vdE9xObeN9.tar.gz]="two
lines"
)
for dep in "${!DEPS[@]}"; do
	SRC_URI+=" ${DEPS[${dep}]} -> ${dep}"
done
SRC_URI+=" ${#DEPS[@]}"
#--
declare -A M=( [a]=1 [b]=2 )
M+=( [c]=3 )
SRC_URI="${M[*]} ${!M[*]}"
#--
PYTHON_COMPAT=( python3_{10..12} pypy3 )
SRC_URI="${PYTHON_COMPAT[*]} ${PYTHON_COMPAT[0]#python} ${PYTHON_COMPAT[-1]}"
#--
case ${PV} in
	1*) SRC_URI=one
esac
#--
join() { local IFS=,; SRC_URI="$*"; }
join a b c
#--
f() { local x=1; g; SRC_URI+="/${x}"; }
g() { x=2; y=3; }
f
SRC_URI+="${x-unset}${y}"
#--
A=( "x y" z ); B=( "${A[@]}" "${A[*]}" ); SRC_URI="${#B[@]} ${B[2]} ${A[@]:0:1}"
#--
unset A; A+=( 1 ); A[1]=2; A[${#A[@]}]=3; SRC_URI="${A[*]} ${A[@]//2/two} ${A[-2]}"
#--
for x in ${y:-a b} ${y-"c d"} ${PV:+e  f }g; do SRC_URI+="<${x}>"; done
