#!/bin/bash
# Digits by synthetic voices, to train on: voices.sh OUT [PROMPTS], for `data make keywords --voices OUT`. PROMPTS: the unpacked
# package asterisk-core-sounds-en-wav, whose digits are one more voice.
# Needs espeak-ng and flite (apt-get install espeak-ng flite).
set -euo pipefail
out=$1 prompts=${2:-}
words=(zero one two three four five six seven eight nine)
for digit in {0..9}; do
    mkdir -p "$out/$digit"
    word=${words[digit]}
    for voice in slt rms awb kal16; do
        for stretch in 0.85 1.0 1.2; do
            for pitch in 85 110 140 180 220; do
                # that voice is a woman's
                [ $voice = slt ] && [ $pitch = 85 ] && continue
                flite -voice $voice --setf duration_stretch=$stretch --setf int_f0_target_mean=$pitch -t "$word." \
                    -o "$out/$digit/flite-$voice-${pitch}_${stretch/./}.wav"
            done
        done
    done
    for accent in en-us en-gb en-gb-scotland en-gb-x-rp en-gb-x-gbcwmd en-029; do
        for voice in m1 m3 m7 f1 f2 f4 f5 klatt2 klatt4 Andy Gene Mario Michael Annie Alicia linda zac steph; do
            speed=$((120 + (digit * 7 + ${#voice} * 13 + ${#accent} * 5) % 60))
            espeak-ng -v $accent+$voice -s $speed -w "$out/$digit/espeak-$accent-${voice}_0.wav" $word
        done
    done
    [ -z "$prompts" ] || cp "$prompts"/usr/share/asterisk/sounds/en_US_f_Allison/digits/$digit.wav "$out/$digit/allison_0.wav"
done
