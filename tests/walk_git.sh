#!/bin/sh
# The walk in repositories that git itself made: submodules, worktrees, extensions that libgit2
# refuses, revisions, rule files of our own.  Random rules are in walk_test.c.
: "${builddir:=.}"
list=$(cd "$builddir" && pwd)/tests/walk_list
# libgit2 1.5 forgets match data of its regular expressions (about 20 KiB a line of configuration).
ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0"
export ASAN_OPTIONS
command -v git >/dev/null || { echo "1..0 # SKIP no git"; exit 0; }
n=0
ok() { n=$((n + 1)); if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; fi; }
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
HOME=$dir XDG_CONFIG_HOME=$dir/xdg GIT_CONFIG_NOSYSTEM=1
export HOME XDG_CONFIG_HOME GIT_CONFIG_NOSYSTEM
git config --global user.name t
git config --global user.email t@localhost
git config --global init.defaultBranch main
git config --global protocol.file.allow always

# same DIR: the walk and git agree below DIR
same() {
  (cd "$1" && git ls-files -co --exclude-standard -z | tr '\0' '\n' | LC_ALL=C sort -u) >want
  "$list" "$1" | tr '\0' '\n' >got
  cmp -s want got || { diff want got | sed 's/^/# /'; return 1; }
}

git init -q a
mkdir -p a/src a/build/deep a/.github
echo 'build/' >a/.gitignore
echo '*.log' >>a/.gitignore
touch a/src/x.c a/src/x.log a/build/out a/build/deep/kept a/.github/ci.yml
git -C a add -f build/deep/kept
git -C a add . && git -C a commit -qm one
touch a/build/deep/new
same a; ok $? "what is tracked inside an ignored folder stays in, its neighbours do not"
same a/src; ok $? "from a folder below, the rules of the top hold"

mkdir -p xdg/git && echo 'global.txt' >xdg/git/ignore && touch a/global.txt
same a; ok $? "the default core.excludesFile holds"
echo 'ex.txt' >a/.git/info/exclude && echo '!global.txt' >>a/.git/info/exclude && touch a/ex.txt
same a; ok $? "info/exclude holds, and before core.excludesFile"

"$list" -H -v a | grep -q '^out	.github	hidden'; ok $? "hidden names are out without --hidden"
"$list" -v a | grep -q '^out	src/x.log	ignored by .gitignore:2: \*.log'; ok $? "a reason names the rule, its file and its line"
"$list" -v -o build/out a | grep -q '^out	build/out	ignored by .gitignore:1: build/'; ok $? "the walk for one path tells what decides on it"

echo 'x.c' >a/.ignore && echo '!x.c' >a/src/.folioignore && echo '!x.log' >>a/.ignore
"$list" -v a | grep -q '^taken	src/x.log'; ok $? ".ignore includes what .gitignore leaves out"
"$list" -v a | grep -q '^taken	src/x.c'; ok $? ".folioignore has the word before .ignore"
rm a/src/.folioignore
"$list" -v a | grep -q '^out	src/x.c	ignored by .ignore:1'; ok $? ".ignore leaves out what is tracked"
"$list" -v -n a | grep -q '^taken	src/x.c'; ok $? "--no-ignore asks no rule file"
"$list" -v -n -g '!*.c' a | grep -q "^out	src/x.c	left out by -g"; ok $? "-g '!GLOB' leaves out"
test "$("$list" -g 'x.*' a | tr '\0' ' ')" = "src/x.c src/x.log "; ok $? "-g GLOB takes nothing else, and before all rule files"
rm a/.ignore

# Repositories inside repositories
git init -q lib && touch lib/l.c && git -C lib add . && git -C lib commit -qm l
git -C a submodule --quiet add "$dir/lib" sub 2>/dev/null && git -C a commit -qm sub
same a; ok $? "a submodule is one entry"
"$list" -v a | grep -q '^listed	sub	a submodule'; ok $? "a submodule is listed"
"$list" -s -v a | grep -q '^taken	sub/l.c'; ok $? "--submodules reads it"
git init -q a/inner && touch a/inner/i.c
"$list" -v a | grep -q '^listed	inner	a repository of its own'; ok $? "so is a repository nobody registered"
rm -rf a/inner
mkdir many && cp -r lib many/one && cp -r lib many/two && echo l.c >many/two/.gitignore && touch many/two/z.c
touch many/free.log && echo '*.log' >many/.gitignore
"$list" many | tr '\0' '\n' | grep -q '^one/l.c$'; ok $? "repositories side by side are read"
"$list" many | tr '\0' '\n' | grep -q '^free.log$'; ok $? "outside a repository .gitignore means nothing"
git -C a worktree add -q ../tree 2>/dev/null
echo wt.txt >a/.git/info/exclude && touch tree/wt.txt tree/other.txt
same tree; ok $? "a second worktree uses the shared info/exclude"

# What libgit2 does not open by itself
git -C a config core.repositoryFormatVersion 1
git -C a config extensions.worktreeConfig true
git -C a config extensions.partialClone origin
same a; ok $? "worktreeConfig and partialClone"
git -C a config extensions.strange true
"$list" -v a | grep -q '^taken	src/x.c'; ok $? "an extension nobody knows costs the tracked list, not the walk"
"$list" -v a | grep -q '^skipped	.git	all files count as untracked'; ok $? "and it is told"
git -C a config --unset extensions.strange 2>/dev/null || sed -i '/strange/d' a/.git/config
if git init -q --object-format=sha256 s 2>/dev/null; then
  mkdir -p s/d && echo '*.o' >s/.gitignore && touch s/d/a.c s/d/a.o && printf 'hi\n' >s/d/h
  git -C s add -f . && git -C s commit -qm s && touch s/d/b.o
  same s; ok $? "SHA-256 objects"
  test "$("$list" -r HEAD s | tr '\0' ' ')" = "$(git -C s ls-tree -r -z --name-only HEAD | tr '\0' ' ')"
  ok $? "a revision of a repository with SHA-256 objects"
fi
git init -q sp && mkdir -p sp/in sp/off && touch sp/in/f sp/off/g && git -C sp add . && git -C sp commit -qm x
if git -C sp sparse-checkout set --cone --sparse-index in 2>/dev/null; then
  "$list" sp | tr '\0' '\n' | grep -q '^in/f$'; ok $? "a sparse index"
fi
git -C lib update-index --split-index && same lib; ok $? "a split index"

# Revisions
cd a || exit 1
git rm -rq --cached build && git commit -qm two && echo new >src/later.c
cd ..
test "$("$list" -r HEAD~1 a | tr '\0' '\n')" = "$(git -C a ls-tree -r --name-only HEAD~1)"
ok $? "--ref finds what git ls-tree finds"
test "$("$list" -r HEAD a/src | tr '\0' '\n')" = "$(git -C a/src ls-tree -r --name-only HEAD)"
ok $? "--ref from a folder below"
"$list" -r nonsense a 2>&1 | grep -q "no commit 'nonsense'"; ok $? "a revision that is none"
git clone -q --bare a bare.git
test "$("$list" -r HEAD bare.git | tr '\0' '\n')" = "$(git -C a ls-tree -r --name-only HEAD)"
ok $? "--ref in a bare repository"
cd a || exit 1
echo 'src/' >.folioignore && git add -f .folioignore && git commit -qm three && rm .folioignore
cd ..
"$list" -v -r HEAD a | grep -q '^out	src	ignored by .folioignore:1'; ok $? "the .folioignore of that revision holds"

# Nothing of a hostile repository is run
git init -q evil && touch evil/f && git -C evil add . && git -C evil commit -qm e
printf '#!/bin/sh\ntouch "%s/ran"\n' "$dir" >hook && chmod +x hook
git -C evil config core.fsmonitor "$dir/hook"
git -C evil update-index --split-index 2>/dev/null
rm -f ran
"$list" evil >/dev/null
test ! -e ran; ok $? "core.fsmonitor of an ingested repository is not run"
echo "1..$n"
