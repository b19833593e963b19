#!/bin/bash
# Speech by people that nothing else is learnt of: strangers.sh PACKAGES OUT
# PACKAGES/NAME: Debian's packages klettres-data, ktuberling-data, asterisk-prompt-es-co and asterisk-prompt-fr-armelle, unpacked.
# OUT/train, if it is to be learnt from, is for `data make keywords --voices`: letters, syllables and nouns, each said alone, in 18 languages, all of them "unknown".
# OUT/streams/valid and OUT/streams/test are for `eval --stream`, and of other languages or people. Needs sox.
set -euo pipefail
export LC_ALL=C # the order of files
packages=$1 out=$2
for package in {klettres,ktuberling}-data asterisk-prompt-{es-co,fr-armelle}; do
    [ -d "$packages/$package" ] || { echo "$packages/$package is missing: apt-get download $package, then dpkg-deb -x" >&2; exit 1; }
done
klettres=$packages/klettres-data/usr/share/klettres ktuberling=$packages/ktuberling-data/usr/share/ktuberling/sounds
valid=" it ru sl nb " test=" fr uk nl pt pt_BR sv gl wa "
for folder in "$klettres"/*/alpha "$klettres"/*/syllab "$ktuberling"/*/; do
    case $folder in
        "$klettres"/*) language=$(basename "$(dirname "$folder")") name=letters-$(basename "$folder") ;;
        *) language=$(basename "$folder") name=nouns ;;
    esac
    part=train
    [[ $valid = *" $language "* ]] && part=valid
    [[ $test = *" $language "* ]] && part=test
    for file in "$folder"/*.ogg "$folder"/*.wav; do
        [ -f "$file" ] || continue
        to=$out/$part/unknown/${language//[@_]/-}_$name-$(basename "${file%.*}").wav
        mkdir -p "$(dirname "$to")"
        sox -V1 -D "$file" -b 16 -r 8000 -c 1 "$to"
    done
done
prompts() { # VOICE FILE: all that is said but digits
    find "$packages/asterisk-prompt-$1/" -name '*.gsm' -type f -not -path '*/digits/*' -print0 | sort -z |
        xargs -0 sh -c 'sox -D "$@" -b 16 "$0"' "$2"
}
mkdir -p "$out"/streams/{valid,test}
for part in valid test; do sox "$out/$part"/unknown/*.wav "$out/streams/$part/alone.wav"; done
prompts es-co "$out/streams/valid/prompts.wav"
prompts fr-armelle "$out/streams/test/prompts.wav"
