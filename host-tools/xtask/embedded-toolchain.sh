#!/usr/bin/env bash
# Makes a Rust toolchain named "embedded" that can compile for the emulated boards:
#
#     cargo +embedded build --release --target thumbv7em-none-eabihf
#
# 1. By rustup, if it can download: `rustup target add` for the default toolchain, of which
#    "embedded" then is another name.
# 2. Otherwise on Debian: a private toolchain in $EMBEDDED_DIR from Debian's rustc-web packages,
#    which are downloaded and unpacked there, not installed. Debian has no packages of the
#    bare-metal targets' core library, so that is compiled from Debian's rust-web-src.
#    Takes about a minute and 700 MB. No root is needed, if apt's package lists are fresh.
#
# Does nothing, quickly, if all is there. Settings, all optional:
#   EMBEDDED_NO_RUSTUP=1   goes to step 2 at once
#   EMBEDDED_DIR           of step 2 (default: ~/.local/share/rust-embedded)
#   EMBEDDED_TOOLCHAIN     another name than "embedded"
#   EMBEDDED_TARGETS       other targets than those below, separated by spaces
set -euo pipefail

NAME=${EMBEDDED_TOOLCHAIN:-embedded}
DIR=${EMBEDDED_DIR:-$HOME/.local/share/rust-embedded}
DEFAULT_TARGETS="thumbv6m-none-eabi thumbv7m-none-eabi thumbv7em-none-eabihf
    thumbv8m.main-none-eabihf riscv32imac-unknown-none-elf riscv32imc-unknown-none-elf"
read -ra TARGETS <<<"$(tr '\n' ' ' <<<"${EMBEDDED_TARGETS:-$DEFAULT_TARGETS}")"
# Oldest rustc whose library sources are laid out as `compile_target` expects.
OLDEST=1.96

say() { printf 'setup: %s\n' "$*"; }
fail() { say "$*" >&2; exit 1; }

# --- what is there already?

missing_targets() { # sysroot: prints those of TARGETS that it lacks
    local target lacking=()
    for target in "${TARGETS[@]}"; do
        compgen -G "$1/lib/rustlib/$target/lib/liballoc-*.rlib" >/dev/null || lacking+=("$target")
    done
    echo "${lacking[*]:-}"
}

linked_sysroot() { # prints where toolchain NAME is linked to, if it is
    local path
    path=$(readlink "${RUSTUP_HOME:-$HOME/.rustup}/toolchains/$NAME" 2>/dev/null) || return 0
    [ ! -d "$path/lib" ] || echo "$path"
}

already_complete() {
    local sysroot
    sysroot=$(linked_sysroot)
    [ -n "$sysroot" ] && [ -z "$(missing_targets "$sysroot")" ] && [ ! -e "$sysroot/.incomplete" ]
}

# --- 1. rustup

by_rustup() {
    local sysroot wanted
    [ -z "${EMBEDDED_NO_RUSTUP:-}" ] || return 1
    sysroot=$(rustc --print sysroot)
    wanted=$(missing_targets "$sysroot")
    if [ -n "$wanted" ]; then
        say "rustup adds to the toolchain in $sysroot: $wanted"
        # Split into words on purpose.
        # shellcheck disable=SC2086
        timeout "${EMBEDDED_RUSTUP_TIMEOUT:-120}" rustup target add $wanted || return 1
    fi
    say "rustup links the name \"$NAME\" to $sysroot"
    rustup toolchain link "$NAME" "$sysroot"
}

# --- 2. Debian's packages

unpack() { # package...: downloads and unpacks below $DIR/deb, installs nothing
    local folder deb
    folder=$(mktemp -d)
    # as root, apt downloads as the user _apt
    [ "$(id -u)" != 0 ] || ! id _apt >/dev/null 2>&1 || chown _apt "$folder"
    if ! (cd "$folder" && apt-get download -qq "$@" >/dev/null 2>errors); then
        cat "$folder/errors" >&2
        rm -rf "$folder"
        return 1
    fi
    for deb in "$folder"/*.deb; do dpkg -x "$deb" "$DIR/deb"; done
    rm -rf "$folder"
}

newest_package() { # prints the newest libstd-rust-web-1.N, if new enough
    local package
    package=$(apt-cache pkgnames libstd-rust-web-1 | sort -V | tail -1)
    [ -n "$package" ] || return 0
    [ "$(printf '%s\n' "$OLDEST" "${package##*-}" | sort -V | head -1)" != "$OLDEST" ] || echo "$package"
}

download_packages() {
    local package version llvm
    [ ! -e "$DIR/.unpacked" ] || return 0
    package=$(newest_package)
    if [ -z "$package" ] && [ "$(id -u)" = 0 ]; then
        say "apt-get update: the package lists are missing or stale"
        apt-get update -qq
        package=$(newest_package)
    fi
    [ -n "$package" ] || fail "no rustc-web $OLDEST or newer in the package lists (it is in Debian 12's security archive): run 'apt-get update' as root, then this again"
    # The archive keeps older versions beside: ask for the same one of every package.
    version=$(apt-cache madison "$package" | awk 'NR==1{print $3}')
    say "downloading Debian's rustc-web $version into $DIR"
    rm -rf "$DIR/deb"
    mkdir -p "$DIR/deb"
    unpack "$package=$version" "rustc-web=$version" "libstd-rust-web-dev=$version" \
        "rust-web-src=$version" "rust-web-clippy=$version"
    llvm=$(apt-cache show "$package=$version" | sed -n 's/^Depends:.*\(libllvm[0-9]*\).*/\1/p' | head -1)
    ldconfig -p | grep -q "libLLVM.so.${llvm#libllvm}" || unpack "$llvm"
    # Of the sources, only library/ is needed.
    rm -rf "$DIR"/deb/usr/share "$DIR"/deb/usr/src/rustc-*/{compiler,src,debian}
    touch "$DIR/.unpacked"
}

package_of_library() { # soname
    case $1 in
        libz3.so.4) echo libz3-4 ;;
        libedit.so.2) echo libedit2 ;;
        libxml2.so.2) echo libxml2 ;;
        libffi.so.8) echo libffi8 ;;
        libbsd.so.0) echo libbsd0 ;;
        libmd.so.0) echo libmd0 ;;
        libicuuc.so.72 | libicudata.so.72) echo libicu72 ;;
        libtinfo.so.6) echo libtinfo6 ;;
        libzstd.so.1) echo libzstd1 ;;
        *) fail "rustc needs $1, and this script does not know its package" ;;
    esac
}

add_missing_libraries() { # what libLLVM needs and this machine does not have
    local round lacking so package
    for round in 1 2 3; do # those may need others in turn
        lacking=$(LD_LIBRARY_PATH=$DIR/lib ldd "$DIR/bin/rustc" | awk '/not found/{print $1}' | sort -u)
        [ -n "$lacking" ] || return 0
        for so in $lacking; do
            package=$(package_of_library "$so")
            say "downloading $package into $DIR (round $round)"
            unpack "$package"
            find "$DIR/deb" -name "$so*" -exec cp -Pf {} "$DIR/lib/" \;
        done
    done
}

lay_out() { # $DIR as rustup wants a toolchain
    local usr=$DIR/deb/usr host multiarch stable file version bin
    host=$(rustc -vV | sed -n 's/^host: //p')
    multiarch=${host/-unknown/}
    mkdir -p "$DIR/bin" "$DIR/lib"
    [ -d "$DIR/lib/rustlib" ] || cp -al "$usr/lib/rustlib" "$DIR/lib/rustlib"
    for file in "$usr/lib/$multiarch"/librustc_driver-*.so "$usr/lib/$multiarch"/libLLVM*.so*; do
        [ ! -e "$file" ] || cp -lf "$file" "$DIR/lib/"
    done
    # rustc takes its sysroot from where its driver library lies: copies, not links, beside lib/.
    for file in rustc rustdoc clippy-driver cargo-clippy; do
        rm -f "$DIR/bin/$file"
        cp -lf "$usr/bin/$file" "$DIR/bin/$file"
    done
    add_missing_libraries
    # Cargo, rustfmt and the linker are those of the default toolchain.
    stable=$(rustc --print sysroot)
    for file in cargo rustfmt cargo-fmt; do
        [ ! -e "$stable/bin/$file" ] || ln -sfn "$stable/bin/$file" "$DIR/bin/$file"
    done
    bin=$DIR/lib/rustlib/$host/bin
    rm -rf "$bin"
    mkdir -p "$bin"
    for file in rust-lld gcc-ld rust-objcopy; do
        [ ! -e "$stable/lib/rustlib/$host/bin/$file" ] ||
            ln -sfn "$stable/lib/rustlib/$host/bin/$file" "$bin/$file"
    done
    for version in 19 16 15 14; do
        [ -e "$bin/rust-lld" ] || [ ! -x "/usr/bin/lld-$version" ] ||
            ln -sfn "/usr/bin/lld-$version" "$bin/rust-lld"
    done
    [ -e "$bin/rust-lld" ] || fail "there is no rust-lld in $stable; install Debian's lld-19, then run this again"
}

compile_target() { # target: core, compiler_builtins and alloc
    local target=$1 temporary=$DIR/tmp-$1 line key value features='' flags=() environment=()
    local builtins=$SOURCES/compiler-builtins/compiler-builtins
    rm -rf "$temporary"
    mkdir -p "$temporary"
    local common=(--target "$target" --crate-type rlib --edition 2024 --cap-lints allow
        --out-dir "$temporary" -Copt-level=3 -Cembed-bitcode=yes -Cstrip=none
        -Zforce-unstable-if-unmarked --remap-path-prefix "$SOURCES=/rustc/library"
        -Cmetadata=emb -Cextra-filename=-emb)
    "$RUSTC" "${common[@]}" -Ccodegen-units=1 --crate-name core "$SOURCES/core/src/lib.rs"
    # compiler_builtins configures itself by a build script: run it as cargo would.
    environment=("TARGET=$target" OPT_LEVEL=3 CARGO_FEATURE_COMPILER_BUILTINS=1 CARGO_FEATURE_MEM=1
        CARGO_CFG_TARGET_ENV= CARGO_CFG_TARGET_VENDOR=)
    while IFS= read -r line; do
        case $line in
            target_feature=*) features=${features:+$features,}$(cut -d'"' -f2 <<<"$line") ;;
            target_has_reliable_*) environment+=("CARGO_CFG_${line^^}=") ;;
            target_has_atomic=*) ;;
            target_*=\"*)
                key=${line%%=*}
                value=$(cut -d'"' -f2 <<<"$line")
                environment+=("CARGO_CFG_${key^^}=$value")
                ;;
        esac
    done < <("$RUSTC" --print cfg --target "$target")
    environment+=("CARGO_CFG_TARGET_FEATURE=$features")
    while IFS= read -r line; do
        case $line in
            cargo:rustc-cfg=* | cargo::rustc-cfg=*) flags+=(--cfg "${line#*rustc-cfg=}") ;;
            cargo:rustc-env=* | cargo::rustc-env=*) export "${line#*rustc-env=}" ;;
        esac
    done < <(cd "$builtins" && env "${environment[@]}" "$DIR/builtins-build-script")
    "$RUSTC" "${common[@]}" -Ccodegen-units=10000 -Cdebug-assertions=no -Coverflow-checks=no \
        --crate-name compiler_builtins "$builtins/src/lib.rs" \
        --cfg 'feature="compiler-builtins"' --cfg 'feature="mem"' "${flags[@]}" \
        --extern "core=$temporary/libcore-emb.rlib"
    "$RUSTC" "${common[@]}" -Ccodegen-units=1 --crate-name alloc "$SOURCES/alloc/src/lib.rs" \
        --cfg 'feature="compiler-builtins-mem"' --extern "core=$temporary/libcore-emb.rlib" \
        --extern "compiler_builtins=$temporary/libcompiler_builtins-emb.rlib" -L "$temporary"
    mkdir -p "$DIR/lib/rustlib/$target/lib"
    mv "$temporary"/*.rlib "$DIR/lib/rustlib/$target/lib/"
    rm -rf "$temporary"
}

compile_targets() {
    local target wanted jobs=() job
    export LD_LIBRARY_PATH=$DIR/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    # Lets this compiler build its own core library, which uses unstable features.
    export RUSTC_BOOTSTRAP=1
    RUSTC=$DIR/bin/rustc
    [ "$("$RUSTC" --print sysroot)" = "$(readlink -f "$DIR")" ] || fail "rustc takes $("$RUSTC" --print sysroot) for its sysroot, not $DIR"
    SOURCES=$(echo "$DIR"/deb/usr/src/rustc-*/library)
    # Where rust-analyzer looks for them.
    rm -rf "$DIR/lib/rustlib/src"
    mkdir -p "$DIR/lib/rustlib/src/rust"
    ln -sfn "$SOURCES" "$DIR/lib/rustlib/src/rust/library"
    [ -x "$DIR/builtins-build-script" ] || "$RUSTC" --edition 2024 --cap-lints allow \
        "$SOURCES/compiler-builtins/compiler-builtins/build.rs" -o "$DIR/builtins-build-script"
    wanted=$(missing_targets "$DIR")
    say "compiling core, compiler_builtins and alloc for: $wanted"
    for target in $wanted; do
        compile_target "$target" &
        jobs+=($!)
        if [ "${#jobs[@]}" -ge "$(nproc)" ]; then
            for job in "${jobs[@]}"; do wait "$job"; done
            jobs=()
        fi
    done
    for job in "${jobs[@]}"; do wait "$job"; done
}

by_debian() {
    command -v apt-get dpkg >/dev/null || fail "rustup cannot download here, and there is no apt-get to fall back on"
    say "building a private toolchain in $DIR from Debian's packages (about 700 MB; nothing is installed elsewhere)"
    mkdir -p "$DIR"
    touch "$DIR/.incomplete"
    download_packages
    lay_out
    compile_targets
    say "rustup links the name \"$NAME\" to $DIR"
    rustup toolchain link "$NAME" "$DIR"
    rm -f "$DIR/.incomplete"
}

if ! already_complete; then
    by_rustup || by_debian
fi
say "ready: toolchain \"$NAME\" ($(linked_sysroot))"
