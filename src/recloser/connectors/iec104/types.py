"""Owns the table of type identifications: name and elements of each. Does not read bytes.

Source: IEC 60870-5-101:2003, clause 7.3, and IEC 60870-5-104:2006, clause 8.
"""

from __future__ import annotations

from dataclasses import dataclass

from recloser.connectors.iec104 import elements as e
from recloser.connectors.iec104.elements import Element


@dataclass(frozen=True, slots=True)
class AsduType:
    """A type identification: its name and the elements of one information object, address not included."""

    name: str
    elements: tuple[Element, ...]

    @property
    def length(self) -> int:
        """Return the bytes of one object without its address."""
        return sum(element.length for element in self.elements)


_TABLE: dict[int, tuple[str, tuple[Element, ...]]] = {
    1: ("M_SP_NA_1", (e.SIQ,)),
    2: ("M_SP_TA_1", (e.SIQ, e.CP24)),
    3: ("M_DP_NA_1", (e.DIQ,)),
    4: ("M_DP_TA_1", (e.DIQ, e.CP24)),
    5: ("M_ST_NA_1", (e.VTI, e.QDS)),
    6: ("M_ST_TA_1", (e.VTI, e.QDS, e.CP24)),
    7: ("M_BO_NA_1", (e.BSI, e.QDS)),
    8: ("M_BO_TA_1", (e.BSI, e.QDS, e.CP24)),
    9: ("M_ME_NA_1", (e.NVA, e.QDS)),
    10: ("M_ME_TA_1", (e.NVA, e.QDS, e.CP24)),
    11: ("M_ME_NB_1", (e.SVA, e.QDS)),
    12: ("M_ME_TB_1", (e.SVA, e.QDS, e.CP24)),
    13: ("M_ME_NC_1", (e.R32, e.QDS)),
    14: ("M_ME_TC_1", (e.R32, e.QDS, e.CP24)),
    15: ("M_IT_NA_1", (e.BCR,)),
    16: ("M_IT_TA_1", (e.BCR, e.CP24)),
    17: ("M_EP_TA_1", (e.SEP, e.CP16, e.CP24)),
    18: ("M_EP_TB_1", (e.SPE, e.QDP, e.CP16, e.CP24)),
    19: ("M_EP_TC_1", (e.OCI, e.QDP, e.CP16, e.CP24)),
    20: ("M_PS_NA_1", (e.SCD, e.QDS)),
    21: ("M_ME_ND_1", (e.NVA,)),
    30: ("M_SP_TB_1", (e.SIQ, e.CP56)),
    31: ("M_DP_TB_1", (e.DIQ, e.CP56)),
    32: ("M_ST_TB_1", (e.VTI, e.QDS, e.CP56)),
    33: ("M_BO_TB_1", (e.BSI, e.QDS, e.CP56)),
    34: ("M_ME_TD_1", (e.NVA, e.QDS, e.CP56)),
    35: ("M_ME_TE_1", (e.SVA, e.QDS, e.CP56)),
    36: ("M_ME_TF_1", (e.R32, e.QDS, e.CP56)),
    37: ("M_IT_TB_1", (e.BCR, e.CP56)),
    38: ("M_EP_TD_1", (e.SEP, e.CP16, e.CP56)),
    39: ("M_EP_TE_1", (e.SPE, e.QDP, e.CP16, e.CP56)),
    40: ("M_EP_TF_1", (e.OCI, e.QDP, e.CP16, e.CP56)),
    45: ("C_SC_NA_1", (e.SCO,)),
    46: ("C_DC_NA_1", (e.DCO,)),
    47: ("C_RC_NA_1", (e.RCO,)),
    48: ("C_SE_NA_1", (e.NVA, e.QOS)),
    49: ("C_SE_NB_1", (e.SVA, e.QOS)),
    50: ("C_SE_NC_1", (e.R32, e.QOS)),
    51: ("C_BO_NA_1", (e.BSI,)),
    58: ("C_SC_TA_1", (e.SCO, e.CP56)),
    59: ("C_DC_TA_1", (e.DCO, e.CP56)),
    60: ("C_RC_TA_1", (e.RCO, e.CP56)),
    61: ("C_SE_TA_1", (e.NVA, e.QOS, e.CP56)),
    62: ("C_SE_TB_1", (e.SVA, e.QOS, e.CP56)),
    63: ("C_SE_TC_1", (e.R32, e.QOS, e.CP56)),
    64: ("C_BO_TA_1", (e.BSI, e.CP56)),
    70: ("M_EI_NA_1", (e.COI,)),
    100: ("C_IC_NA_1", (e.QOI,)),
    101: ("C_CI_NA_1", (e.QCC,)),
    102: ("C_RD_NA_1", ()),
    103: ("C_CS_NA_1", (e.CP56,)),
    104: ("C_TS_NA_1", (e.FBP,)),
    105: ("C_RP_NA_1", (e.QRP,)),
    106: ("C_CD_NA_1", (e.CP16,)),
    107: ("C_TS_TA_1", (e.TSC, e.CP56)),
    110: ("P_ME_NA_1", (e.NVA, e.QPM)),
    111: ("P_ME_NB_1", (e.SVA, e.QPM)),
    112: ("P_ME_NC_1", (e.R32, e.QPM)),
    113: ("P_AC_NA_1", (e.QPA,)),
    120: ("F_FR_NA_1", (e.NOF, e.LOF, e.FRQ)),
    121: ("F_SR_NA_1", (e.NOF, e.NOS, e.LOF, e.SRQ)),
    122: ("F_SC_NA_1", (e.NOF, e.NOS, e.SCQ)),
    123: ("F_LS_NA_1", (e.NOF, e.NOS, e.LSQ, e.CHS)),
    124: ("F_AF_NA_1", (e.NOF, e.NOS, e.AFQ)),
    126: ("F_DR_TA_1", (e.NOF, e.LOF, e.SOF, e.CP56)),
}
TYPES = {number: AsduType(name, parts) for number, (name, parts) in _TABLE.items()}
# Named, but of a length that the type does not fix: told whole, as hexadecimal.
OPAQUE = {
    41: "S_IT_TC_1",
    81: "S_CH_NA_1",
    82: "S_RP_NA_1",
    83: "S_AR_NA_1",
    84: "S_KR_NA_1",
    85: "S_KS_NA_1",
    86: "S_KC_NA_1",
    87: "S_ER_NA_1",
    90: "S_US_NA_1",
    91: "S_UQ_NA_1",
    92: "S_UR_NA_1",
    93: "S_UK_NA_1",
    94: "S_UA_NA_1",
    95: "S_UC_NA_1",
    125: "F_SG_NA_1",
    127: "F_SC_NB_1",
}
PRIVATE = 128
CAUSES = {
    1: "per/cyc",
    2: "back",
    3: "spont",
    4: "init",
    5: "req",
    6: "act",
    7: "actcon",
    8: "deact",
    9: "deactcon",
    10: "actterm",
    11: "retrem",
    12: "retloc",
    13: "file",
    14: "auth",
    15: "seskey",
    16: "usrkey",
    44: "unknown type",
    45: "unknown cause",
    46: "unknown common address",
    47: "unknown object address",
    **{20 + group: f"inrogen {group}" if group else "inrogen" for group in range(17)},
    **{37 + group: f"reqco {group}" if group else "reqcogen" for group in range(5)},
}
