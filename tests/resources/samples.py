"""Reports of vendors' tools as texts, made up after the format of real ones; no tool wrote them."""


def csynth(version="2023.2", dsp="DSP", latency="11", uram="\n<URAM>1</URAM>") -> str:
    """A C synthesis report: DSP for Vitis HLS, DSP48E for Vivado HLS."""
    return f"""<profile>

<ReportVersion>
<Version>{version}</Version>
</ReportVersion>

<UserAssignments>
<unit>ns</unit>
<ProductFamily>virtexuplus</ProductFamily>
<Part>xcvu13p-flga2577-2-e</Part>
<TopModelName>myproject</TopModelName>
<TargetClockPeriod>5.00</TargetClockPeriod>
<ClockUncertainty>1.35</ClockUncertainty>
</UserAssignments>

<PerformanceEstimates>
<PipelineType>yes</PipelineType>
<SummaryOfTimingAnalysis>
<unit>ns</unit>
<EstimatedClockPeriod>3.417</EstimatedClockPeriod>
</SummaryOfTimingAnalysis>
<SummaryOfOverallLatency>
<unit>clock cycles</unit>
<Best-caseLatency>7</Best-caseLatency>
<Average-caseLatency>{latency}</Average-caseLatency>
<Worst-caseLatency>{latency}</Worst-caseLatency>
<Interval-min>1</Interval-min>
<Interval-max>1</Interval-max>
</SummaryOfOverallLatency>
</PerformanceEstimates>

<AreaEstimates>
<Resources>
<BRAM_18K>3</BRAM_18K>
<{dsp}>9</{dsp}>
<FF>1204</FF>
<LUT>4711</LUT>{uram}
</Resources>
<AvailableResources>
<BRAM_18K>5376</BRAM_18K>
<{dsp}>12288</{dsp}>
<FF>3456000</FF>
<LUT>1728000</LUT>
<URAM>1280</URAM>
</AvailableResources>
</AreaEstimates>

</profile>
"""


def _head(version: str, part: str, state: str) -> str:
    rule = "-" * 70
    return f"""Copyright 1986-2023 Xilinx, Inc. All Rights Reserved.
{rule}
| Tool Version : Vivado v.{version} (lin64) Build 1234567 Mon Jan  1 12:00:00 UTC 2024
| Date         : Tue Jan  2 12:00:00 2024
| Host         : lab running 64-bit Linux
| Command      : report_utilization -file vivado_synth.rpt
| Design       : myproject
| Device       : {part}
| Design State : {state}
{rule}

Utilization Design Information

Table of Contents
-----------------
"""


ULTRASCALE = (
    _head("2023.2", "xcvu13p-flga2577-2-e", "Synthesized")
    + """1. CLB Logic
1.1 Summary of Registers by Type
2. BLOCKRAM
3. ARITHMETIC
4. Primitives
5. Black Boxes
6. Instantiated Netlists

1. CLB Logic
------------

+----------------------------+------+-------+------------+-----------+-------+
|          Site Type         | Used | Fixed | Prohibited | Available | Util% |
+----------------------------+------+-------+------------+-----------+-------+
| CLB LUTs*                  | 2100 |     0 |          0 |   1728000 |  0.12 |
|   LUT as Logic             | 2080 |     0 |          0 |   1728000 |  0.12 |
|   LUT as Memory            |   20 |     0 |          0 |    791040 | <0.01 |
|     LUT as Shift Register  |   20 |     0 |            |           |       |
| CLB Registers              |  813 |     0 |          0 |   3456000 |  0.02 |
|   Register as Flip Flop    |  812 |     0 |          0 |   3456000 |  0.02 |
|   Register as Latch        |    1 |     0 |          0 |   3456000 | <0.01 |
| CARRY8                     |   96 |     0 |          0 |    216000 |  0.04 |
+----------------------------+------+-------+------------+-----------+-------+
* Warning! The Final LUT count, after optimizations, is typically lower.


1.1 Summary of Registers by Type
--------------------------------

+-------+--------------+-------------+--------------+
| Total | Clock Enable | Synchronous | Asynchronous |
+-------+--------------+-------------+--------------+
| 813   |          Yes |       Reset |            - |
+-------+--------------+-------------+--------------+


2. BLOCKRAM
-----------

+-------------------+------+-------+------------+-----------+-------+
|     Site Type     | Used | Fixed | Prohibited | Available | Util% |
+-------------------+------+-------+------------+-----------+-------+
| Block RAM Tile    |  2.5 |     0 |          0 |      2688 |  0.09 |
|   RAMB36/FIFO*    |    2 |     0 |          0 |      2688 |  0.07 |
|   RAMB18          |    1 |     0 |          0 |      5376 |  0.02 |
| URAM              |    4 |     0 |          0 |      1280 |  0.31 |
+-------------------+------+-------+------------+-----------+-------+


3. ARITHMETIC
-------------

+----------------+------+-------+------------+-----------+-------+
|    Site Type   | Used | Fixed | Prohibited | Available | Util% |
+----------------+------+-------+------------+-----------+-------+
| DSPs           |    6 |     0 |          0 |     12288 |  0.05 |
|   DSP48E2 only |    6 |       |            |           |       |
+----------------+------+-------+------------+-----------+-------+


4. Primitives
-------------

+----------+------+---------------------+
| Ref Name | Used | Functional Category |
+----------+------+---------------------+
| LUT6     | 1400 |                 CLB |
| FDRE     |  812 |            Register |
| CARRY8   |   96 |                 CLB |
| DSP48E2  |    6 |          Arithmetic |
+----------+------+---------------------+


5. Black Boxes
--------------

+----------+------+
| Ref Name | Used |
+----------+------+


6. Instantiated Netlists
------------------------

+----------+------+
| Ref Name | Used |
+----------+------+


"""
)

SERIES7 = (
    _head("2020.1", "7z020clg400-1", "Routed")
    + """1. Slice Logic
2. Memory
3. DSP
4. Primitives

1. Slice Logic
--------------

+-----------------+------+-------+-----------+-------+
|    Site Type    | Used | Fixed | Available | Util% |
+-----------------+------+-------+-----------+-------+
| Slice LUTs      |  510 |     0 |     53200 |  0.96 |
| Slice Registers |  230 |     0 |    106400 |  0.22 |
| F7 Muxes        |    0 |     0 |     26600 |  0.00 |
+-----------------+------+-------+-----------+-------+


2. Memory
---------

+----------------+------+-------+-----------+-------+
|    Site Type   | Used | Fixed | Available | Util% |
+----------------+------+-------+-----------+-------+
| Block RAM Tile |    0 |     0 |       140 |  0.00 |
+----------------+------+-------+-----------+-------+


3. DSP
------

+-----------+------+-------+-----------+-------+
| Site Type | Used | Fixed | Available | Util% |
+-----------+------+-------+-----------+-------+
| DSPs      |   12 |     0 |       220 |  5.45 |
+-----------+------+-------+-----------+-------+


4. Primitives
-------------

+----------+------+---------------------+
| Ref Name | Used | Functional Category |
+----------+------+---------------------+
| LUT4     |  300 |                 LUT |
| CARRY4   |   71 |          CarryLogic |
+----------+------+---------------------+


"""
)
