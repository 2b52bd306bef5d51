"""Chinese, Japanese and Korean names, addresses and companies, by surname, title and form. Pure.

These scripts do not mark names. A name is a surname of the tables with what may follow one, where a sentence
begins, behind a word that introduces people, or before a title; surnames that also begin everyday words need
a title or such a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from cogenesis_langchain.detect.scanning import Text, pattern, scan
from cogenesis_langchain.types import PrivateSpan

_HAN = "[\u3400-\u4dbf\u4e00-\u9fff々]"
_KANA_ONLY = re.compile("[\u3041-\u309f\u30a1-\u30fa]")
_HANGUL = "[\uac00-\ud7a3]"

# --- Chinese --------------------------------------------------------------------------------------

_SURE = (
    "王李张刘陈杨赵吴徐孙胡朱郭罗梁宋郑谢韩唐冯董萧曹袁邓傅沈彭吕苏卢蒋蔡贾丁魏薛阎潘杜戴姜汪邹谭廖孟邱秦侯邵黎"
    "贺郝龚崔尹孔庞樊殷倪俞柳裴聂翟葛祁岳詹鲍柯窦欧張劉陳楊趙吳孫羅鄭謝韓馮蕭鄧呂蘇盧蔣賈閻鄒譚龔葉"
)
_UNSURE = (
    "高马方任于白黄江石金万常许周时程成文安毛田钱曾段雷史陶顾夏余范钟熊陆康牛洪"
    "古向易路华关莫施包温何林叶武龙黃許鐘陸顧龍馬"
)
_DOUBLE = "欧阳|司马|上官|诸葛|东方|皇甫|尉迟|公孙|慕容|令狐|司徒|夏侯|歐陽|司馬|諸葛"
_ANY = f"(?:{_DOUBLE}|[{_SURE}{_UNSURE}])"
_GIVEN_NOT = "的了是在和与也都就要会能不有没吗呢吧啊们这那很被把给对从到说想去来写请"
_SECOND_NOT = _GIVEN_NOT + "下上周今昨还又再已让向住做您正可应"
_TITLES_ZH = (
    "先生|女士|小姐|太太|老师|医生|大夫|教授|经理|主任|律师|同学|师傅|阿姨|叔叔|博士|院长|校长|警官|护士"
    "|部长|董事长|总裁|总经理"
    "|老師|醫生|經理|律師|博士|總裁"
)
_GIVEN = f"(?:(?!{_TITLES_ZH})(?![{_GIVEN_NOT}]){_HAN}(?:(?![{_SECOND_NOT}]){_HAN})?)"
_PEOPLE_ZH = (
    "我叫|名叫|叫做|叫作|名字是|名字叫|姓名|联系人|收件人|寄件人|申请人|患者|病人|客户|朋友|同事|老板"
    "|妻子|丈夫|老婆|老公|妈妈|爸爸"
    "|母亲|父亲|儿子|女儿|哥哥|姐姐|弟弟|妹妹|邻居|室友|男友|女友|医生|律师|老师|經理|同學|亲爱的|尊敬的"
    "|敬爱的|你好|您好"
)
_NOT_NAMES_ZH = (
    "王国|王子|王朝|王牌|李子|张贴|张开|陈述|陈列|陈旧|杨树|朱红|罗列|梁柱|谢谢|谢意|谢幕|韩国|韩语|唐朝"
    "|唐诗|唐代|宋朝|宋代|丁香|沈阳|苏州|苏联|蔡"
    "州|秦朝|孟子|孔子|董事|曹操|魏国|胡说|胡子|胡同|郭沫|徐州|徐徐|吴国|赵国|孙子|郑州|郑重|彭湃|贾宝"
    "|柳树|欧洲|欧元|欧美|殷切|贺卡|贺词|苏打|葛根"
)
_ZH_SMALL = "和与跟给找请问见让对向由为是叫，。！？；：、“”‘’（）《》\\s,.!?;:()\"'"

_UNITS_ZH = (
    "省|自治区|特别行政区|市|区|县|镇|乡|村|街道|大道|路|街|巷|弄|胡同|小区|大厦|花园|公寓|苑|縣|區|鎮|鄉"
)

_CHINESE = (
    pattern("PERSON", 0.65, f"(?:{_ANY}{_HAN}{{0,2}}?)(?:{_TITLES_ZH})"),
    pattern("PERSON", 0.6, f"(?:{_PEOPLE_ZH})(?:是|叫|为|：|:|，|,)?\\s?({_ANY}{_GIVEN})"),
    pattern("PERSON", 0.6, f"(?:我叫|名叫|我是|姓名[：:])\\s?({_HAN}{{2,3}})(?=[，。！？,.!?\\s]|$)"),
    pattern(
        "PERSON",
        0.55,
        f"(?:(?<=[{_ZH_SMALL}])|(?<=的)|(?<![^\\n]))((?!{_NOT_NAMES_ZH})(?:{_DOUBLE}|[{_SURE}]){_GIVEN})",
    ),
    pattern("PERSON", 0.5, f"[小老阿]([{_SURE}{_UNSURE}])(?=[，。！？说在是的和,.!?\\s]|$)"),
    pattern("PERSON", 0.6, f"姓({_HAN})(?=[，。,.、的]|$)"),
    pattern(
        "LOCATION",
        0.6,
        f"{_HAN}{{2,7}}?(?:{_UNITS_ZH})(?:{_HAN}{{1,7}}?(?:{_UNITS_ZH})){{1,6}}"
        f"\\s?(?:[0-9]{{1,5}}(?:号楼|号院|号|弄|栋|幢|单元|层|楼|室|房|號"
        f"|-){{1,2}}){{0,5}}(?:[0-9]{{1,5}}室?)?",
        check=lambda value: not value.startswith(("这", "那", "每")),
    ),
    pattern(
        "LOCATION",
        0.6,
        f"({_HAN}{{1,6}}(?:路|街|巷|弄|胡同|大道|小区|村|苑))\\s?[0-9]{{1,5}}\\s?(?:号楼|号院|号|弄|栋"
        f"|幢|號)",
    ),
    pattern(
        "ORGANIZATION",
        0.55,
        f"{_HAN}{{2,12}}?(?:有限公司|股份公司|公司|集团|银行|大学|医院|中学|小学|事务所|研究院|株式会社)",
    ),
)
_LEAD_ZH = re.compile(
    f"{_HAN}{{0,8}}?(?:住在|位于|搬到|寄到|送到|地址是|地址|在|到|于|是|从|去|往|至|来自|就职于|我们|我"
    f"|给|的|和|与|向)+"
)
"""Words before an address or a company that the expressions above take with it."""

# --- Japanese -------------------------------------------------------------------------------------

_SURNAMES_JA = (
    "佐藤|鈴木|高橋|田中|伊藤|渡辺|渡邊|山本|中村|小林|加藤|吉田|山田|佐々木|山口|松本|井上|木村|斎藤"
    "|斉藤|齋藤|清水|山崎|阿部|池田|橋本|山下|石川"
    "|中島|前田|藤田|後藤|小川|岡田|村上|長谷川|近藤|石井|坂本|遠藤|藤井|青木|西村|福田|太田|三浦|藤原"
    "|岡本|松田|中川|中野|原田|小野|田村|竹内|金子"
    "|和田|中山|石田|上田|森田|柴田|酒井|工藤|横山|宮崎|宮本|内田|高木|安藤|谷口|大野|丸山|今井|高田"
    "|藤本|武田|村田|上野|杉山|増田|平野|大塚|千葉|久保"
    "|松井|小島|岩崎|桜井|野口|松尾|野村|木下|菊地|菊池|佐野|大西|杉本|新井|浜田|古川|市川|小松|水野"
    "|島田|小山|西田|北村|五十嵐|福島|安田|川崎|川口|東野"
)
_HONORIFIC = "さん|さま|様|君|くん|ちゃん|氏|先生|先輩|部長|課長|社長|教授|係長|店長|監督|選手"
_NOT_NAMES_JA = "皆|客|お客|母|父|兄|姉|医者|奥|神|王|同|多|模|仕|嬢|坊|誰|赤|彼|店員|看護師|各|両|娘"
"|息子|隣|運転手|大家|社"

_JAPANESE = (
    pattern(
        "PERSON",
        0.6,
        f"(?:{_SURNAMES_JA})(?:[ \u3000]?(?:(?!(?:{_HONORIFIC}|家|町|市|区|県|駅|川|山|店)){_HAN}){{1,3}}"
        f"|[ \u3000](?:[\u3041-\u309f]{{2,4}}|[\u30a1-\u30ffー]{{2,6}}))?(?!県|市|駅|区|町|川|山|大学)",
    ),
    pattern(
        "PERSON",
        0.6,
        f"(?<!お)((?!(?:{_NOT_NAMES_JA})(?:{_HONORIFIC})){_HAN}{{1,4}}|[\u30a1-\u30ffー]{{2,10}}"
        f"|(?<![\u3041-\u309f])(?!みな|おか|おと|おに|おね|おじ|おば"
        f"|あか)[\u3041-\u309f]{{2,4}})(?:{_HONORIFIC})(?!々|名|子|式|相)",
    ),
    pattern(
        "PERSON",
        0.6,
        f"(?:私は|名前は|氏名[：:]|担当[：:]?|わたしは|僕は)({_HAN}{{2,5}}"
        f"|[\u30a1-\u30ffー・]{{3,12}})(?:です|と申|と言|といい|$|\\s)",
    ),
    pattern("PERSON", 0.6, f"({_HAN}{{2,5}}|[\u30a1-\u30ffー・]{{3,12}})と(?:申します|いいます|言います)"),
    pattern("LOCATION", 0.7, "〒\\s?[0-9]{3}-[0-9]{4}"),
    pattern(
        "LOCATION",
        0.6,
        f"(?:(?:東京都|北海道|京都府|大阪府|{_HAN}{{2,3}}県){_HAN}{{1,6}}?(?:市|区|町|村|郡)"
        f"|{_HAN}{{1,5}}?市{_HAN}{{1,5}}?区)"
        f"(?:(?:{_HAN}|[\u30a1-\u30ffヶケノの]){{1,8}}?(?:区|町"
        f"|村)?)?(?:{_HAN}{{0,6}}[0-9０-９一二三四五六七八九十]{{1,4}}(?:丁目|番地|番|号"
        f"|[-－ー])){{0,4}}[0-9０-９]{{0,4}}(?:号室?)?",
    ),
    pattern(
        "LOCATION",
        0.6,
        f"{_HAN}{{2,8}}[0-9０-９一二三四五六七八九十]{{1,3}}(?:丁目|番地)(?:[0-9０-９]{{1,4}}(?:番地?|号"
        f"|[-－])?){{0,3}}",
    ),
    pattern(
        "ORGANIZATION", 0.55, f"(?:株式会社|有限会社|合同会社)(?:{_HAN}|[\u30a1-\u30ffー]|[A-Za-z]){{2,12}}"
    ),
    pattern(
        "ORGANIZATION",
        0.55,
        f"(?:{_HAN}|[\u30a1-\u30ffー]){{2,12}}?(?:株式会社|有限会社|商事|電機|銀行|大学|病院|高校)",
    ),
)

# --- Korean ---------------------------------------------------------------------------------------

_SURNAMES_KO = (
    "김이박최정강조윤장임한오서신권황안송류유홍전고문손양배백허남심노하곽성차주우구민나진지엄채"
    "원천방공현함변염여추도소석선설마길연위표명기반왕금옥육인맹제모탁국어은편용"
)
_SURE_KO = "김박최윤황권류홍배백허심곽엄"
_NOT_NAMES_KO = (
    "김치|김밥|김장|박물|박사|박수|박스|최근|최고|최대|최소|최선|최종|최초|최신|최저|최악|최적|윤리|윤곽"
    "|황금|황당|권리|권한|권장|홍보|홍수|홍차|홍콩|배경|배고"
    "|배우|배달|배송|배터|백화|백만|백신|허락|허용|허가|심각|심지|심리|심장|엄마|엄청|엄격|고객|선생"
    "|부모|손님|사장|원장|교수|기사|이모|고모|할머|할아|주인|공주|왕자"
)
_RANK_KO = "씨|님|선생님?|교수님?|과장님?|부장님?|대리님?|팀장님?|사장님?|대표님?|박사님?|원장님?"
"|군(?=[ ,.이은의]|$)|양(?=[ ,.이은의]|$)"
_PARTICLE_KO = (
    "에서|에|은|는|이|가|을|를|에게|의|와|과|께서|께|한테|도|만|입니다|이고|라고|이라고|랑|이랑|야|아"
)

_KOREAN = (
    pattern(
        "PERSON",
        0.65,
        f"(?<!{_HANGUL})((?!{_NOT_NAMES_KO})[{_SURNAMES_KO}]{_HANGUL}{{1,3}}?)\\s?(?:{_RANK_KO})(?!"
        f"{_HANGUL}{{3}})",
    ),
    pattern(
        "PERSON",
        0.6,
        f"(?:이름은|이름:|저는|나는|성명:?|담당자:?|친구|동료|아내|남편|아들|딸|동생|언니|누나|오빠"
        f"|형)\\s({_HANGUL}{{2,4}}?)(?:{_PARTICLE_KO})?(?!{_HANGUL})",
    ),
    pattern(
        "PERSON",
        0.55,
        f"(?<!{_HANGUL})((?!{_NOT_NAMES_KO})[{_SURE_KO}]{_HANGUL}{{2}})(?:{_PARTICLE_KO})?(?!{_HANGUL})",
    ),
    pattern(
        "LOCATION",
        0.6,
        f"(?:{_HANGUL}{{1,6}}(?:특별시|광역시|자치시|시|도|구|군|읍|면|동|리|대로|로"
        f"|길)\\s){{2,6}}?(?:{_HANGUL}{{1,6}}(?:구|동|로|길"
        f"|리)\\s)?[0-9]{{1,4}}(?:-[0-9]{{1,4}})?(?:번길|번지|호|동|층)?(?:\\s[0-9]{{1,4}}(?:호|동|층))*",
    ),
    pattern(
        "LOCATION",
        0.55,
        f"{_HANGUL}{{2,4}}(?:특별시|광역시|시|도)\\s{_HANGUL}{{1,4}}(?:구|군"
        f"|시)(?:\\s{_HANGUL}{{1,5}}(?:동|로|길|읍|면))?",
    ),
    pattern(
        "ORGANIZATION",
        0.55,
        f"(?:주식회사|\\(주\\)|㈜)\\s?{_HANGUL}{{2,10}}|{_HANGUL}{{2,8}}(?:전자|은행|대학교|병원|그룹"
        f"|건설|보험)(?={_PARTICLE_KO}|[\\s,.]|$)",
    ),
)
_EAST = re.compile("[\u3041-\u30ff\u3400-\u9fff\uac00-\ud7a3]")


def find(text: Text) -> Iterator[PrivateSpan]:
    """Names, addresses and companies in `text`, in no order; spans may overlap."""
    if not _EAST.search(text.text):
        return
    yield from scan(_KOREAN, text)
    for span in scan(_CHINESE, text):
        if not _KANA_ONLY.search(_line(text.text, span)):
            lead = _LEAD_ZH.match(text.text, span.start, span.end) if span.type != "PERSON" else None
            start = lead.end() if lead else span.start
            if span.end - start > 3 or span.type == "PERSON":
                yield replace(span, start=start)
    for span in scan(_JAPANESE, text):
        if span.type == "PERSON" or _KANA_ONLY.search(_line(text.text, span)):
            yield span


def _line(text: str, span: PrivateSpan) -> str:
    """The line a span stands in, at most 80 characters of it on either side."""
    before = text[max(span.start - 80, 0) : span.start].rpartition("\n")[2]
    return before + text[span.start : span.end + 80].partition("\n")[0]
