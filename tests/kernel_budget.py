#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tools/kernel-budget with made-up tools of NVIDIA: which loops it finds, what it refuses, how often the model lets a loop run.

    tests/kernel_budget.py ROOT"""
import os
import stat
import subprocess
import sys
import tempfile

# A loop in a loop, and one behind them; a rare path behind the end that jumps back into the inner loop; a place where the lanes of a warp
# may have parted, with what they do then; a trap that jumps to itself.
LISTING = r"""
	.section	.text._Z6kernelPf,"ax",@progbits
_Z6kernelPf:
.text._Z6kernelPf:
        /*0000*/                   S2R R0, SR_TID.X ;
.L_x_0:
        /*0010*/                   IMAD.MOV.U32 R4, RZ, RZ, RZ ;
        /*0020*/                   LDG.E.64 R2, desc[UR4][R2.64] ;
.L_x_1:
        /*0030*/                   LDS.128 R8, [R0] ;
        /*0040*/                   LDS R12, [R0+0x10] ;
        /*0050*/              @!P1 BRA `(.L_x_3) ;
.L_x_2:
        /*0060*/                   FFMA R5, R8, R12, R5 ;
        /*0070*/                   FFMA.FTZ R6, R9.reuse, R12, R6 ;
        /*0080*/                   FFMA R7, R10, R12, R7 ;
        /*0090*/                   FADD R4, R4, 1 ;
        /*00a0*/                   FMUL R5, R5, R6 ;
        /*00b0*/                   FFMA R5, R8, R12, R5 ;
        /*00c0*/                   FFMA R5, R8, R12, R5 ;
{more}        /*00d0*/                   DADD R14, R14, R16 ;
        /*00e0*/                   BRA.DIV UR5, `(.L_x_5) ;
        /*00e8*/                   SHFL.BFLY P3, R9, R9, 0x1, 0x1f ;
.L_x_7:
        /*00f0*/               @P0 BRA `(.L_x_1) ;
        /*0100*/                   STS.64 [R0], R8 ;
        /*0110*/                   BRA.U !UP0, `(.L_x_0) ;
.L_x_8:
        /*0120*/                   DFMA R14, R14, R16, R18 ;
        /*0130*/                   DMUL R14, R14, R16 ;
        /*0140*/                   DMUL R14, R14, R16 ;
        /*0150*/                   DMUL R14, R14, R16 ;
        /*0160*/                   DMUL R14, R14, R16 ;
        /*0170*/                   DMUL R14, R14, R16 ;
        /*0180*/                   DMUL R14, R14, R16 ;
        /*0190*/                   DMUL R14, R14, R16 ;
        /*01a0*/               @P2 BRA `(.L_x_8) ;
        /*01b0*/                   STG.E desc[UR4][R2.64], R5 ;
        /*01c0*/                   EXIT ;
.L_x_3:
        /*01d0*/                   MUFU.RCP R8, R8 ;
        /*01e0*/                   BRA `(.L_x_2) ;
.L_x_5:
        /*01f0*/                   WARPSYNC.COLLECTIVE R9, `(.L_x_6) ;
.L_x_6:
        /*0200*/                   SHFL.BFLY P3, R9, R9, 0x1, 0x1f ;
        /*0210*/                   BRA `(.L_x_7) ;
.L_x_4:
        /*0220*/                   BRA `(.L_x_4) ;
        /*0230*/                   NOP ;
	.section	.text.{second},"ax",@progbits
        /*0000*/                   EXIT ;
"""
USAGE = """Resource usage:
 Common:
  GLOBAL:0
 Function _Z6kernelPf:
  REG:{registers} STACK:{stack} SHARED:512 LOCAL:0 CONSTANT[0]:568 TEXTURE:0 SURFACE:0 SAMPLER:0
 Function {second}:
  REG:8 STACK:16 SHARED:0 LOCAL:8 CONSTANT[0]:568 TEXTURE:0 SURFACE:0 SAMPLER:0
"""
LOOPS = ["    loop of 19: 5 fma, 2 add, 1 double, 2 lds, 5 branch", "    loop of 9: 8 double, 1 branch"]
TABLE = f"""compiler 13.0.88
kernel: 40 registers, 0 stack, 512 shared
{LOOPS[0]}
{LOOPS[1]}
other<3, true>: 8 registers, 24 stack, 0 shared
"""
OTHER, THIRD = "_Z5otherILi3ELb1EEvPf", "_Z5thirdPf"


def same(found, expected):
    assert found == expected, f"{found}\nexpected\n{expected}"


def make_tools(folder, *, registers=40, stack=0, second=OTHER, more="", version="V13.0.88"):
    """cuobjdump and nvdisasm that know one library of two kernels."""
    listing = LISTING.replace("{more}", more).replace("{second}", second)
    usage = USAGE.format(registers=registers, stack=stack, second=second)
    cubin = f"ptxas\0Cuda compilation tools, release 13.0, {version} Build"
    programs = {"cuobjdump": f"import sys\nif '-xelf' in sys.argv:\n    open('one.cubin', 'w').write({cubin!r})\nelse:\n    print({usage!r})\n",
                "nvdisasm": f"print({listing!r})\n"}
    for name, text in programs.items():
        path = os.path.join(folder, name)
        with open(path, "w", encoding="ascii") as file:
            file.write(f"#!{sys.executable}\n{text}")
        os.chmod(path, stat.S_IRWXU)


def run(root, folder, status, *words):
    """Lines of stdout and the sentence on stderr."""
    library = os.path.join(folder, "host", "api", "libdfal_cuda.so")
    os.makedirs(os.path.dirname(library), exist_ok=True)
    with open(library, "w", encoding="ascii"):
        pass
    done = subprocess.run([sys.executable, os.path.join(root, "tools", "kernel-budget"), folder, "--tools", folder, *words],
                          capture_output=True, text=True, check=False)
    assert done.returncode == status, done
    return done.stdout.splitlines(), done.stderr


def table(root, folder):
    path = os.path.join(folder, "table.txt")
    make_tools(folder)
    lines, _ = run(root, folder, 0)
    same(lines, ["kernel: 40 registers, 0 stack, 512 shared, 36 instructions", *LOOPS,
                 "other<3, true>: 8 registers, 24 stack, 0 shared, 1 instructions"])
    same(run(root, folder, 0, "--write", path), ([], ""))
    with open(path, encoding="ascii") as file:
        same("".join(line for line in file if not line.startswith("#")), TABLE)
    same(run(root, folder, 0, "--check", path)[0], [f"kernel-budget: 2 kernels, none beyond {path}"])
    # Less is no finding.
    make_tools(folder, registers=32)
    run(root, folder, 0, "--check", path)
    make_tools(folder, registers=41, stack=8, second=THIRD, more="        /*00c8*/                   LDL R5, [R1] ;\n")
    grown = ["kernel has 41 registers, 1 more than the 40 allowed", "kernel has 8 bytes of stack, 8 more than the 0 allowed",
             "kernel has a loop of 20 instructions, 1 more than the 19 allowed (0 to 1 local)",
             "kernel has a loop with 1 accesses to local memory, 0 are allowed", "other<3, true> is gone", "third is new, with 24 bytes of stack"]
    same(run(root, folder, 1, "--check", path), (grown, f"kernel-budget: {path} allows less; if it has to be, --write renews it\n"))
    # --write says the same and then allows it.
    same(run(root, folder, 0, "--write", path), (grown, ""))
    run(root, folder, 0, "--check", path)


def refusals(root, folder):
    path = os.path.join(folder, "table.txt")
    with open(path, "w", encoding="ascii") as file:
        file.write(TABLE)
    make_tools(folder, version="V13.1.2")
    said = run(root, folder, 77, "--check", path)[1]
    same(said, f"kernel-budget: {path} is of nvcc 13.0.88, the library of 13.1.2: their counts differ, so that nothing was compared\n")
    make_tools(folder)
    same(run(root, folder, 66, "--check", path + "x")[1],
         f"kernel-budget: {path}x: No such file or directory: expected a table that --write has written\n")
    with open(path, "a", encoding="ascii") as file:
        file.write("kernel: 40\n")
    same(run(root, folder, 65, "--check", path)[1],
         f"kernel-budget: {path}, line 6: 'kernel: 40': expected a kernel, one of its loops, a comment or the compiler\n")
    same(run(root, folder, 65, "--model")[1], "kernel-budget: there is no kernel fused_pooled_backward, which LeNet5 ran on when the model was "
         "written: tools/kernel_model.py has to follow\n")
    os.remove(os.path.join(folder, "nvdisasm"))
    same(run(root, folder, 77)[1], f"kernel-budget: nvdisasm is not in {folder}: `pip install nvidia-cuda-cuobjdump nvidia-cuda-nvdisasm` has it, "
         "--tools names its folder\n")


def trips(root):
    """The model's walk through the second convolution of LeNet5. Blocks of 6 columns reach 1, 2, 3, 3, 2 and 1 windows of a row of four.
    Of five rows the upper blocks reach the first three and the lower blocks the last three. 16 channels are walked."""
    sys.path.insert(0, os.path.join(root, "tools"))
    import kernel_listing
    import kernel_model

    def walk(opcode, sizes):
        """Clocks and instructions where the loop of row j has sizes[j] instructions."""
        starts = [sum(sizes[:j]) for j in range(5)]
        channels = kernel_listing.Loop(frozenset(range(sum(sizes))))
        channels.inner = [kernel_listing.Loop(frozenset(range(start, start + size))) for start, size in zip(starts, sizes)]
        kernel = kernel_listing.Kernel([kernel_listing.Instruction(opcode, True, None)] * sum(sizes), [])
        return kernel_model.gather(kernel, channels, kernel_model.CONVS[1])

    # Rows cost the upper blocks 1 + 2 + 3 and the lower ones 3 + 4 + 5; all four schedulers have as much to do.
    same(walk("FFMA", [1, 2, 3, 4, 5]), (16 * 12 * 18 // 4, 16 * 12 * 18))
    # The last row alone: the lower blocks of columns 0 and 4, 1 and 5, 2, and 3, of which the last two reach most.
    same(walk("FFMA", [0, 0, 0, 0, 8]), (16 * 8 * 3, 16 * 8 * 12))
    # Four wavefronts a load bind before four loads a clock do.
    same(walk("LDS.128", [1, 1, 1, 1, 1]), (16 * 12 * 6 * 4, 16 * 12 * 6))


def main():
    root = os.path.abspath(sys.argv[1])
    for test in (table, refusals):
        with tempfile.TemporaryDirectory() as folder:
            test(root, folder)
    trips(root)
    print("ok")


if __name__ == "__main__":
    main()
