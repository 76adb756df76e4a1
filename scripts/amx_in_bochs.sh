#!/usr/bin/env bash
# Runs tests of groma-kernels on an emulated processor that has AMX, for machines that have none.
#
#     scripts/amx_in_bochs.sh KERNEL [FILTER...]
#
# KERNEL is a Linux image for x86-64 (bzImage, at least 5.16) with an 8250 serial console and without need of modules, as
# distributions make them for virtual machines. FILTER names tests, as `cargo test` takes them; the default takes minutes.
# All products (`matmul`) take far longer: the emulator runs some fifty million instructions a second.
#
# Needs: Bochs of 3.0 or later, with BIOS images, whose AMX Linux can use: 3.0 itself lacks IA32_XFD (without it Linux keeps
# the tiles switched off), swaps rows and bytes per row when it saves tiles, runs overwritten code as it was once AMX is on
# (the cache's key leaves its line by bit 7), and reads VCVTNE2PS2BF16's upper half from beyond its operand; all four were
# mended in its source for the run that bench/README.md tells of. Configured with
#     --with-nogui --enable-x86-64 --enable-cpu-level=6 --enable-avx --enable-evex --enable-amx --enable-uintr --enable-cet
#     --enable-protection-keys --enable-memtype --enable-cdrom --enable-all-optimizations
# Also grub-mkrescue with GRUB's modules for i386-pc, xorriso and mtools; a static busybox; cpio.
# BOCHS names the program, BOCHS_SHARE the directory of the BIOS images, BUSYBOX busybox.
#
# Succeeds if the guest ran to its end, all tests passed, and products in bf16 were AMX's.
set -euo pipefail

kernel="$(realpath "${1:?usage: scripts/amx_in_bochs.sh KERNEL [FILTER...]}")"
shift
[ $# -gt 0 ] || set -- amx level:: matmul::bf16 matmul::gradients
cd "$(dirname "$0")/.."
share="${BOCHS_SHARE:-/usr/share/bochs}"
work="$(realpath -m "${CARGO_TARGET_DIR:-target}")/amx-in-bochs"
rm -rf "$work" && mkdir -p "$work/iso/boot/grub" "$work/root/bin"

# The guest's files: the test programs and groma without their debug information, the libraries that they load, busybox.
programs="$({
    cargo test --release -p groma-kernels --no-run --message-format=json
    cargo build --release -p groma --message-format=json
} | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p')"
for program in $programs; do
    name="$(basename "$program")"
    strip -o "$work/root/bin/${name%%-*}" "$program"
    ldd "$program" | grep -o '/[^ ]*' | while read -r library; do install -D "$library" "$work/root$library"; done
done
cp "${BUSYBOX:-$(command -v busybox)}" "$work/root/bin/busybox"
printf '%s\n' "$@" > "$work/root/filters"
cat > "$work/root/init" <<'GUEST'
#!/bin/busybox sh
export PATH=/bin
busybox mkdir -p /proc /dev /tmp
busybox mount -t proc none /proc
busybox mount -t devtmpfs none /dev
groma doctor
while read -r filter; do
    for program in groma_kernels kernels; do
        "$program" --test-threads 1 --nocapture "$filter" < /dev/null && result=PASSED || result=FAILED
        echo "$result $program $filter"
    done
done < /filters
echo "GUEST ENDED"
busybox sleep 2  # until the serial port has sent it
busybox poweroff -f
GUEST
chmod +x "$work/root/init"
(cd "$work/root" && find . | cpio --quiet -o -H newc) > "$work/iso/boot/root.cpio"
cp "$kernel" "$work/iso/boot/kernel"
# Without `idle=poll` the guest's time passes as slowly as the emulator rests.
printf '%s\n' 'linux /boot/kernel console=ttyS0 quiet idle=poll mitigations=off nokaslr random.trust_cpu=on panic=-1' \
    'initrd /boot/root.cpio' boot > "$work/iso/boot/grub/grub.cfg"
grub-mkrescue -o "$work/guest.iso" "$work/iso" 2> "$work/grub.log"

# Left out is what Linux would rest with (waitpkg), what the BIOS's system management does not survive (la57), and shadow
# stacks (cet), which no test needs.
cat > "$work/bochsrc" <<CONFIGURATION
cpu: model=sapphire_rapids, ips=50000000, reset_on_triple_fault=0, exclude_features="waitpkg,la57,cet"
memory: guest=1024, host=1024
romimage: file=$share/BIOS-bochs-latest
vgaromimage: file=$share/VGABIOS-lgpl-latest
ata0-master: type=cdrom, path=$work/guest.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=$work/serial.txt
log: $work/bochs.log
display_library: nogui
panic: action=fatal
CONFIGURATION
"${BOCHS:-bochs}" -q -f "$work/bochsrc" > "$work/bochs.out" 2>&1 < /dev/null || true  # ends so when the guest switches off
tr -d '\r' < "$work/serial.txt" | tee "$work/result.txt"
grep -q '^GUEST ENDED' "$work/result.txt" && ! grep -q '^FAILED' "$work/result.txt" \
    && grep -q 'cpu amx-bf16 bf16' "$work/result.txt"
